"""What a CloudPod used, as a series; and a look at its screen."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from models.cloudpods import CloudPod
from models.database import Database
from models.queries import samples
from models.states import ServiceStatus
from models.tenants import MIGRAHOSTING
from models.users import Role
from tests.api import rows
from tests.api.conftest import LogIn

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
async def pod(db: Database) -> CloudPod:
    """It used 0, 0.1, 0.2 ... of its cores in the first ten minutes after noon."""
    buyer, plan = rows.customer(), rows.cloudpod_product()
    owned = rows.subscription(buyer, plan)
    made = rows.cloudpod(owned, plan)
    await rows.add(db, rows.other_tenant(), buyer, plan, owned, made)
    async with db.platform() as session:
        await samples.add(
            session,
            [
                {
                    "cloudpod_id": made.id,
                    "tenant_id": MIGRAHOSTING,
                    "at": NOON + timedelta(minutes=minute),
                    "cpu": minute / 10,
                    "memory": 2**30,
                    "disk": 2**31,
                    "net_in": 10.0,
                    "net_out": 20.0,
                }
                for minute in range(10)
            ],
        )
        await session.commit()
    return made


async def series(
    client: httpx.AsyncClient, pod: CloudPod, **asked: str
) -> httpx.Response:
    named = {"start": "from", "until": "to"}
    params = {named[name]: value for name, value in asked.items()}
    return await client.get(f"/api/cloudpods/{pod.id}/metrics", params=params)


async def test_a_short_time_is_told_by_the_minute_and_a_long_one_by_means(
    log_in: LogIn, pod: CloudPod
) -> None:
    viewer = await log_in(Role.VIEWER)

    told = await series(
        viewer, pod, start="2026-11-20T12:01:00Z", until="2026-11-20T13:03:00+01:00"
    )

    assert told.status_code == 200, told.text
    answer: dict[str, Any] = told.json()
    assert answer["stepSeconds"] == 60
    assert [(one["at"], one["cpu"]) for one in answer["points"]] == [
        ("2026-11-20T12:01:00Z", 0.1),
        ("2026-11-20T12:02:00Z", 0.2),
    ]
    assert answer["points"][0]["netOut"] == 20.0
    month = await series(viewer, pod, start="2026-11-01", until="2026-12-01")
    assert month.json()["stepSeconds"] == 87 * 60
    assert sum(one["memory"] for one in month.json()["points"]) == 2**30
    assert (await series(viewer, pod)).json()["points"] == []


@pytest.mark.parametrize(
    ("start", "until", "field"),
    [
        ("2026-11-20T12:00:00Z", "2026-11-20T11:00:00Z", "from"),
        ("2026-11-20", "2026-12-22", "from"),
        ("0001-01-01", "0001-01-02", "to"),
        ("2026-11-20", "9999-12-31T23:59:59-12:00", "to"),
        ("yesterday", "2026-11-20", "from"),
    ],
)
async def test_a_time_that_cannot_be_told_names_its_field(
    log_in: LogIn, pod: CloudPod, start: str, until: str, field: str
) -> None:
    refused = await series(await log_in(Role.VIEWER), pod, start=start, until=until)

    assert refused.status_code == 422, refused.text
    assert refused.json()["error"]["details"]["field"] == field


async def test_nobody_sees_what_another_tenants_cloudpod_used(
    log_in: LogIn, pod: CloudPod
) -> None:
    stranger = await log_in(Role.OPERATOR, tenant_id=rows.OTHER)

    assert (await series(stranger, pod)).status_code == 404
    seen = await stranger.post(f"/api/cloudpods/{pod.id}/console")
    assert seen.status_code == 404


async def test_without_anybody_who_asks_the_node_the_screen_is_unavailable(
    db: Database, log_in: LogIn, pod: CloudPod
) -> None:
    operator = await log_in(Role.OPERATOR)

    away = await operator.post(f"/api/cloudpods/{pod.id}/console")

    assert away.status_code == 503, away.text
    assert away.headers["Retry-After"]
    async with db.platform() as session:
        (await session.get_one(CloudPod, pod.id)).status = ServiceStatus.SUSPENDED
        await session.commit()
    asleep = await operator.post(f"/api/cloudpods/{pod.id}/console")
    assert asleep.status_code == 409
