"""Nobody gives more than they have, and the last admin stays."""

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlmodel import select

from activities.calls import JobRef, SignalReceived
from activities.jobs import JobActivities
from models.base import utc_now
from models.database import Database
from models.states import Act, JobKind, JobStatus, Reason
from models.users import Invitation, Role, User
from tests.api import rows
from tests.api.audited import told
from tests.api.conftest import LogIn, add_user, token_of

ROUTE = "/api/users"
NEWCOMER = {"name": "New", "email": "New@Example.com", "roles": ["operator"]}
PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Person:
    row: User
    client: httpx.AsyncClient

    @property
    def where(self) -> str:
        return f"{ROUTE}/{self.row.id}"


@pytest.fixture
async def admin(log_in: LogIn) -> httpx.AsyncClient:
    return await log_in(Role.ADMIN)


async def person(
    api: httpx.AsyncClient, db: Database, role: Role, **facts: Any
) -> Person:
    """Somebody who is logged in, by a client that shares the app of `api`."""
    row = await add_user(db, role, **facts)
    client = httpx.AsyncClient(transport=api._transport, base_url="http://api")
    client.headers["Authorization"] = f"Bearer {await token_of(db, row)}"
    return Person(row, client)


async def log_in_with(
    api: httpx.AsyncClient, email: str, password: str
) -> httpx.Response:
    body = {"email": email, "password": password}
    return await api.post("/api/auth/login", json=body)


async def set_password(
    api: httpx.AsyncClient, token: str, password: str = PASSWORD
) -> httpx.Response:
    body = {"token": token, "password": password}
    return await api.post("/api/auth/set-password", json=body)


async def test_an_invited_user_sets_a_password_once_and_is_in(
    admin: httpx.AsyncClient, api: httpx.AsyncClient, db: Database
) -> None:
    made = await admin.post(ROUTE, json=NEWCOMER)
    assert made.status_code == 201, made.text
    token = made.json()["invitation"]["token"]
    email = made.json()["email"]
    assert (email, made.json()["status"]) == ("new@example.com", "active")
    for guess in ("", "none", PASSWORD):
        assert (await log_in_with(api, email, guess or "x")).status_code == 401

    weak = await set_password(api, token, "Admin123!")
    assert (weak.status_code, weak.json()["error"]["details"]) == (
        422,
        {"field": "password"},
    )
    assert (await set_password(api, token)).status_code == 204

    assert (await log_in_with(api, email, PASSWORD)).status_code == 200
    assert (await set_password(api, token, "another " * 3)).status_code == 401
    async with db.platform() as session:
        assert (await session.exec(select(Invitation))).all() == []
    events = await told(db, "user.created", "password.set")
    assert [one.action for one in events] == ["user.created", "password.set"]
    assert all(token not in one.model_dump_json() for one in events)


async def test_an_invitation_ends_and_is_replaced(
    admin: httpx.AsyncClient, api: httpx.AsyncClient, db: Database
) -> None:
    made = (await admin.post(ROUTE, json=NEWCOMER)).json()
    again = await admin.post(f"{ROUTE}/{made['id']}/invitations")
    assert again.status_code == 201
    assert (await set_password(api, made["invitation"]["token"])).status_code == 401
    async with db.platform() as session:
        row = (await session.exec(select(Invitation))).one()
        assert row.token_hash not in again.text
        row.expires_at = utc_now()
        await session.commit()

    token = again.json()["invitation"]["token"]
    assert (await set_password(api, token)).status_code == 401

    last = (await admin.post(f"{ROUTE}/{made['id']}/invitations")).json()
    assert (await set_password(api, last["invitation"]["token"])).status_code == 204
    late = await admin.post(f"{ROUTE}/{made['id']}/invitations")
    assert late.status_code == 409
    invited = await told(db, "user.invited")
    assert [one.entity_id for one in invited] == [made["id"]] * 2
    assert all(token not in one.model_dump_json() for one in invited)


@pytest.mark.parametrize(
    "password",
    [
        "short",
        "Admin123!",
        "password123!",
        "!!Password2026!!",
        "administrator",
        "aaaaaaaaaaaaaaaa",
        "1234567890123",
        "1q2w3e4r5t6y",
        "new@example.com",
    ],
)
async def test_what_anybody_would_guess_is_no_password(
    admin: httpx.AsyncClient, api: httpx.AsyncClient, password: str
) -> None:
    made = (await admin.post(ROUTE, json=NEWCOMER)).json()

    answer = await set_password(api, made["invitation"]["token"], password)

    assert answer.status_code == 422


async def test_a_change_of_roles_holds_from_the_next_request(
    api: httpx.AsyncClient, db: Database, admin: httpx.AsyncClient
) -> None:
    olga = await person(api, db, Role.OPERATOR)
    assert (await olga.client.get(ROUTE)).status_code == 403

    raised = await admin.put(olga.where, json={"roles": ["admin", "operator"]})
    assert raised.json()["roles"] == ["admin", "operator"]
    assert (await olga.client.get(ROUTE)).status_code == 200

    body = {"roles": ["viewer"], "name": "Olga", "email": "olga@example.com"}
    assert (await admin.put(olga.where, json=body)).status_code == 200
    assert (await olga.client.get(ROUTE)).status_code == 403
    changed = await told(db, "user.roles_changed", "user.updated")
    assert [one.details for one in changed] == [
        {"from": ["operator"], "to": ["admin", "operator"]},
        {"from": ["admin", "operator"], "to": ["viewer"]},
        {"changed": ["email", "name"]},
    ]
    assert {one.entity_id for one in changed} == {str(olga.row.id)}


async def test_nobody_gives_a_role_above_their_own(
    api: httpx.AsyncClient, db: Database, admin: httpx.AsyncClient
) -> None:
    olga = await person(api, db, Role.OPERATOR)
    boss = await person(api, db, Role.SUPER_ADMIN)
    higher = {"roles": ["super_admin"]}

    assert (await admin.put(olga.where, json=higher)).status_code == 403
    assert (await admin.post(ROUTE, json={**NEWCOMER, **higher})).status_code == 403
    for change in ({"roles": ["viewer"]}, {"email": "mine@example.com"}):
        assert (await admin.put(boss.where, json=change)).status_code == 403
    assert (await admin.delete(boss.where)).status_code == 403
    assert (await boss.client.put(olga.where, json=higher)).status_code == 200
    assert len(await told(db, "user.roles_changed")) == 1


async def test_nobody_changes_their_own_roles_nor_shuts_themselves_out(
    api: httpx.AsyncClient, db: Database
) -> None:
    anna, _ = await person(api, db, Role.ADMIN), await add_user(db, Role.ADMIN)

    for change in ({"roles": ["viewer"]}, {"status": "disabled"}):
        assert (await anna.client.put(anna.where, json=change)).status_code == 403
    assert (await anna.client.delete(anna.where)).status_code == 403

    same = {"roles": ["admin"], "status": "active", "name": "Anna"}
    assert (await anna.client.put(anna.where, json=same)).json()["name"] == "Anna"


async def test_a_removed_user_is_out_at_once_and_stays_in_the_books(
    api: httpx.AsyncClient, db: Database, admin: httpx.AsyncClient
) -> None:
    olga = await person(api, db, Role.OPERATOR)
    assert (await olga.client.get("/api/jobs")).status_code == 200

    for _ in range(2):
        assert (await admin.delete(olga.where)).status_code == 204

    assert (await olga.client.get("/api/jobs")).status_code == 401
    assert (await admin.get(olga.where)).json()["status"] == "disabled"
    assert len(await told(db, "user.disabled")) == 1

    assert (await admin.put(olga.where, json={"status": "active"})).status_code == 200
    assert (await olga.client.get("/api/jobs")).status_code == 401
    assert len(await told(db, "user.enabled")) == 1


@pytest.mark.parametrize(
    "change", [{"status": "disabled"}, {"roles": ["viewer"]}, {}], ids=str
)
async def test_codes_for_the_temporal_ui_end_with_the_right_to_decide(
    api: httpx.AsyncClient,
    db: Database,
    admin: httpx.AsyncClient,
    change: dict[str, Any],
) -> None:
    olga = await person(api, db, Role.OPERATOR)
    waits = JobStatus.NEEDS_ATTENTION
    job = rows.job(status=waits, step="create_site", reason=Reason.REJECTED)
    await rows.add(db, job)
    issued = await olga.client.post(f"/api/jobs/{job.id}/codes", json={"act": "retry"})
    assert issued.status_code == 201, issued.text
    ref = JobRef(job.id, job.tenant_id, job.subject_id, JobKind.WEBSITE_PROVISION)
    signal = SignalReceived(ref, Act.RETRY, None, issued.json()["code"], 1)

    assert (await admin.put(olga.where, json=change)).status_code == 200

    decided = await JobActivities(db).accept_signal(signal)
    assert (decided is None) == bool(change)


async def test_the_last_admin_of_a_tenant_stays(
    api: httpx.AsyncClient, db: Database
) -> None:
    await rows.add(db, rows.other_tenant())
    boss = await person(api, db, Role.SUPER_ADMIN)
    last = await person(api, db, Role.ADMIN, tenant_id=rows.OTHER)

    for change in ({"roles": ["viewer"]}, {"status": "disabled"}):
        refused = await boss.client.put(last.where, json=change)
        assert refused.status_code == 409
        assert refused.json()["error"]["code"] == "WRONG_STATE"
    assert (await boss.client.delete(last.where)).status_code == 409
    await add_user(db, Role.ADMIN, tenant_id=rows.OTHER)
    assert (await boss.client.delete(last.where)).status_code == 204


async def test_of_two_admins_who_remove_each_other_one_stays(
    api: httpx.AsyncClient, db: Database
) -> None:
    anna, otto = await person(api, db, Role.ADMIN), await person(api, db, Role.ADMIN)

    answers = await asyncio.gather(
        anna.client.delete(otto.where), otto.client.delete(anna.where)
    )

    async with db.platform() as session:
        people = (await session.exec(select(User))).all()
    assert sorted(one.status for one in people) == ["active", "disabled"]
    assert sorted(one.status_code for one in answers)[0] == 204


async def test_two_with_one_address_are_one(admin: httpx.AsyncClient) -> None:
    assert (await admin.post(ROUTE, json=NEWCOMER)).status_code == 201

    again = await admin.post(ROUTE, json={**NEWCOMER, "email": "new@example.COM"})
    assert again.status_code == 409


async def test_users_and_tenants_of_another_tenant_are_unknown(
    log_in: LogIn, admin: httpx.AsyncClient, db: Database
) -> None:
    await rows.add(db, rows.other_tenant())
    them = await add_user(db, Role.VIEWER, tenant_id=rows.OTHER)
    platform = await log_in(Role.SUPER_ADMIN)

    for where in (f"{ROUTE}/{them.id}", f"{ROUTE}/{uuid4()}"):
        assert (await admin.get(where)).status_code == 404
        assert (await admin.put(where, json={"name": "x"})).status_code == 404
        assert (await admin.delete(where)).status_code == 404
    assert (await admin.get(f"/api/tenants/{rows.OTHER}")).status_code == 404
    body = {**NEWCOMER, "tenantId": str(rows.OTHER)}
    assert (await admin.post(ROUTE, json=body)).status_code == 403
    assert (await admin.post("/api/tenants", json={"name": "x"})).status_code == 403
    for path in (ROUTE, "/api/admin/users"):
        assert (await admin.get(path)).json()["total"] == 2
        assert (await platform.get(path)).json()["total"] == 3

    made = await platform.post("/api/tenants", json={"name": "Third"})
    assert made.status_code == 201
    assert (
        await platform.post("/api/tenants", json={"name": "Third"})
    ).status_code == (409)
    body = {**NEWCOMER, "tenantId": made.json()["id"]}
    first = await platform.post(ROUTE, json=body)
    assert first.json()["tenantId"] == made.json()["id"]
    [event] = await told(db, "tenant.created")
    assert event.tenant_id == UUID(made.json()["id"])
