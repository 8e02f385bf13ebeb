"""What an operator does about alerts, and when the platform raises them."""

from uuid import uuid4

import httpx
import pytest
from sqlmodel import select, text

from models.alerts import Alert
from models.database import Database
from models.outbox import OutboxMessage
from models.queries.alerts import Finding, raise_alert
from models.states import OutboxStatus
from models.tenants import MIGRAHOSTING
from models.users import Role
from tests.api import rows
from tests.api.conftest import LogIn


async def raised(db: Database, **given: object) -> Alert:
    """An open alert, of which nobody has been told yet."""
    found = Finding(MIGRAHOSTING, uuid4(), "the disk is full", **given)  # type: ignore[arg-type]
    async with db.platform() as session:
        await raise_alert(session, "disk", found)
        await session.commit()
        query = select(Alert).where(Alert.subject_id == found.subject_id)
        return (await session.exec(query)).one()


async def audited(db: Database) -> list[tuple[str, str, str]]:
    async with db.platform() as session:
        found = await session.exec(
            text("select action, actor, reason from audit_events order by created_at")  # type: ignore[call-overload]
        )
        return [tuple(row) for row in found.all()]


async def test_acknowledging_says_who_and_silences_what_waits(
    db: Database, log_in: LogIn
) -> None:
    alert = await raised(db)
    operator = await log_in(Role.OPERATOR)

    answer = await operator.post(
        f"/api/alerts/{alert.id}/acknowledge", json={"note": "on my way"}
    )
    again = await (await log_in(Role.OPERATOR)).post(
        f"/api/alerts/{alert.id}/acknowledge"
    )

    told = answer.json()
    assert (answer.status_code, told["status"]) == (200, "acknowledged")
    assert told["acknowledgedBy"].startswith("operator-")
    assert (told["note"], told["count"]) == ("on my way", 1)
    assert again.json()["acknowledgedBy"] == told["acknowledgedBy"]
    async with db.platform() as session:
        query = select(OutboxMessage).where(OutboxMessage.channel == "mail")
        mail = (await session.exec(query)).one()
    assert mail.status == OutboxStatus.SILENCED
    assert [one[0::2] for one in await audited(db)] == [
        ("alert.acknowledged", "on my way")
    ]


async def test_resolving_by_hand_needs_a_reason_and_is_done_once(
    db: Database, log_in: LogIn
) -> None:
    alert = await raised(db)
    operator = await log_in(Role.OPERATOR)
    path = f"/api/alerts/{alert.id}/resolve"

    assert (await operator.post(path, json={})).status_code == 422
    answer = await operator.post(path, json={"reason": "bought another disk"})
    assert (answer.status_code, answer.json()["status"]) == (200, "resolved")
    assert answer.json()["resolution"] == "bought another disk"
    assert (await operator.post(path, json={"reason": "again"})).status_code == 409
    late = await operator.post(f"/api/alerts/{alert.id}/acknowledge")
    assert late.status_code == 409
    assert [one[0::2] for one in await audited(db)] == [
        ("alert.resolved", "bought another disk")
    ]


@pytest.mark.parametrize("act", ["acknowledge", "resolve"])
async def test_nobody_acts_on_what_is_not_theirs(
    db: Database, log_in: LogIn, act: str
) -> None:
    await rows.add(db, rows.other_tenant())
    alert = await raised(db)
    body = {"reason": "no", "note": "no"}

    async def status(client: httpx.AsyncClient, id: object = alert.id) -> int:
        return (await client.post(f"/api/alerts/{id}/{act}", json=body)).status_code

    stranger = await log_in(Role.ADMIN, tenant_id=rows.OTHER)
    assert await status(stranger) == 404
    assert await status(await log_in(Role.VIEWER)) == 403
    assert await status(await log_in(Role.OPERATOR), uuid4()) == 404


async def test_alerts_are_found_by_what_they_are(db: Database, log_in: LogIn) -> None:
    await raised(db)
    viewer = await log_in(Role.VIEWER)

    async def count(query: str) -> int:
        return int((await viewer.get(f"/api/alerts?{query}")).json()["total"])

    assert await count("status=open&severity=warning&cause=disk") == 1
    assert await count("severity=critical") == 0
    assert await count("cause=books") == 0


async def test_rules_are_changed_by_the_platform_alone(
    db: Database, log_in: LogIn
) -> None:
    owner = await log_in(Role.SUPER_ADMIN)
    body = {"severity": "critical", "threshold": 3, "seconds": 60, "enabled": False}

    changed = await owner.put("/api/alert-rules/order_late", json=body)
    changed = await owner.put("/api/alert-rules/order_late", json=body)

    assert changed.status_code == 200
    listed = (await owner.get("/api/alert-rules")).json()["items"]
    [rule] = [one for one in listed if one["name"] == "order_late"]
    assert rule == changed.json()
    assert rule["changedBy"].startswith("super_admin-")
    assert [one["changedBy"] for one in listed].count(None) == len(listed) - 1
    unknown = await owner.put("/api/alert-rules/nothing", json=body)
    assert unknown.status_code == 404
    assert [one[0] for one in await audited(db)] == ["alert_rule.changed"] * 2
    wrong = await owner.put(
        "/api/alert-rules/order_late", json=body | {"threshold": 10**30}
    )
    assert wrong.status_code == 422
    admin = await log_in(Role.ADMIN)
    assert (await admin.get("/api/alert-rules")).status_code == 403
    assert (
        await admin.put("/api/alert-rules/order_late", json=body)
    ).status_code == 403
