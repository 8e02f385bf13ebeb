"""The audit log is read by admins, each that of their tenant."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from models.audit import AuditEvent
from models.base import utc_now
from models.database import Database
from models.queries import audit
from models.queries.audit import By
from models.tenants import MIGRAHOSTING
from models.users import Role
from tests.api import rows
from tests.api.audited import told
from tests.api.conftest import LogIn

OLGA = By("user", uuid4(), "olga@example.com")
OTTO = By("user", uuid4(), "otto@example.com")
JOB = uuid4()


async def tell(db: Database, by: By, action: str, **facts: Any) -> None:
    facts = {"tenant_id": MIGRAHOSTING, "entity": "job", "entity_id": JOB, **facts}
    async with db.platform() as session:
        await audit.record(session, by=by, action=action, **facts)
        await session.commit()


@pytest.fixture
async def history(db: Database) -> list[AuditEvent]:
    await rows.add(db, rows.other_tenant())
    await tell(db, OLGA, "decision.retry", reason="again", details={"step": "dns"})
    await tell(db, OTTO, "decision.skip")
    await tell(db, OLGA, "decisions", entity="order", entity_id="order-1")
    await tell(db, OTTO, "login.succeeded", tenant_id=rows.OTHER, entity="session")
    return await told(db)


async def seen(client: httpx.AsyncClient, **params: Any) -> list[str]:
    answer = await client.get("/api/audit", params=params)
    assert answer.status_code == 200, answer.text
    return [one["action"] for one in answer.json()["items"]]


async def test_an_event_tells_who_did_what_and_why(
    log_in: LogIn, history: list[AuditEvent]
) -> None:
    admin = await log_in(Role.ADMIN)

    first = (await admin.get("/api/audit")).json()["items"][-1]

    assert first == {
        "id": str(history[0].id),
        "tenantId": str(MIGRAHOSTING),
        "actorId": str(OLGA.id),
        "actorKind": "user",
        "actor": "olga@example.com",
        "action": "decision.retry",
        "resourceType": "job",
        "resourceId": str(JOB),
        "reason": "again",
        "metadata": {"step": "dns"},
        "requestId": None,
        "createdAt": first["createdAt"],
        "seq": 1,
        "hash": history[0].hash,
    }


async def test_each_filter_leaves_what_fits(
    log_in: LogIn, history: list[AuditEvent]
) -> None:
    admin = await log_in(Role.ADMIN)
    later = history[1].created_at

    assert await seen(admin) == ["decisions", "decision.skip", "decision.retry"]
    assert await seen(admin, actorId=OTTO.id) == ["decision.skip"]
    assert await seen(admin, type="decision.skip") == ["decision.skip"]
    assert await seen(admin, type="decision") == ["decision.skip", "decision.retry"]
    assert await seen(admin, type="d%") == []
    assert await seen(admin, resourceType="order") == ["decisions"]
    assert await seen(admin, resourceId=JOB) == ["decision.skip", "decision.retry"]
    assert await seen(admin, since=later.isoformat()) == ["decisions", "decision.skip"]
    naive = (utc_now() + timedelta(days=1)).replace(tzinfo=None).isoformat()
    assert await seen(admin, since=naive) == []
    assert await seen(admin, page=2, pageSize=2) == ["decision.retry"]
    both = {"actorId": OLGA.id, "resourceType": "job"}
    assert await seen(admin, **both) == ["decision.retry"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("actorId", "olga"),
        ("since", "yesterday"),
        ("since", "99999999999999999999"),
        ("pageSize", "101"),
        ("resourceId", "x" * 301),
    ],
)
async def test_a_filter_that_means_nothing_is_named(
    log_in: LogIn, name: str, value: str
) -> None:
    admin = await log_in(Role.ADMIN)

    answer = await admin.get("/api/audit", params={name: value})

    assert answer.status_code == 422
    assert answer.json()["error"]["details"]["field"] == name


async def test_the_first_moment_of_the_calendar_is_a_moment(log_in: LogIn) -> None:
    admin = await log_in(Role.ADMIN)

    assert await seen(admin, since="0001-01-01T00:00:00+14:00") == []


async def test_a_tenant_reads_its_own_and_the_platform_reads_all(
    log_in: LogIn, history: list[AuditEvent]
) -> None:
    theirs = await log_in(Role.ADMIN, tenant_id=rows.OTHER)
    platform = await log_in(Role.SUPER_ADMIN)

    assert await seen(theirs) == ["login.succeeded"]
    assert await seen(theirs, resourceId=JOB) == ["login.succeeded"]
    assert await seen(theirs, actorId=OLGA.id) == []
    assert len(await seen(platform)) == 4


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
async def test_only_admins_read_it(log_in: LogIn, role: Role) -> None:
    client = await log_in(role)

    assert (await client.get("/api/audit")).status_code == 403


async def test_an_event_names_the_request_it_came_with(
    log_in: LogIn, db: Database
) -> None:
    operator = await log_in(Role.OPERATOR)
    job = rows.job()
    await rows.add(db, job)

    answer = await operator.post(f"/api/jobs/{job.id}/codes", json={"act": "retry"})

    [event] = await told(db)
    assert event.request_id == answer.headers["x-request-id"]
    assert UUID(event.request_id)
