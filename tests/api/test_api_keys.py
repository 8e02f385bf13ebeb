"""Programs call with keys: shown once, stored as hashes, revoked at once, never above
those who made them."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlmodel import col, select

from activities.calls import JobRef, SignalReceived
from activities.jobs import JobActivities
from api.auth.demand import Demand
from api.settings import ApiSettings
from models.api_keys import ApiKey, Scope, key_hash
from models.base import utc_now
from models.database import Database
from models.states import Act, JobKind, JobStatus, Reason
from models.tenants import MIGRAHOSTING
from models.users import Role, User
from tests.api import rows
from tests.api.audited import told
from tests.api.conftest import LogIn, client_of
from tests.api.live import SOON, up
from tests.api.shop import ORDER_CREATED, order, signature, stock
from tests.api.web import running
from tests.conftest import free_port

ROUTE = "/api/api-keys"


@pytest.fixture
async def admin(log_in: LogIn) -> httpx.AsyncClient:
    return await log_in(Role.ADMIN)


async def made(client: httpx.AsyncClient, *scopes: str, **facts: Any) -> dict[str, Any]:
    body = {"name": "reports", "scopes": scopes or ("read",), **facts}
    answer = await client.post(ROUTE, json=body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


@asynccontextmanager
async def another_process(settings: ApiSettings) -> AsyncIterator[httpx.AsyncClient]:
    """`mpanel api`, on a port of its own."""
    port = free_port()
    told = {
        f"MPANEL_{name.upper()}": (
            value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        )
        for name, value in settings
        if value is not None
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "api", "--port", str(port)), env={**os.environ, **told}
    )
    try:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", timeout=SOON, trust_env=False
        ) as client:
            await up(client)
            yield client
    finally:
        process.terminate()
        await process.wait()


def key(given: dict[str, Any]) -> dict[str, str]:
    return {"X-API-Key": given["key"]}


async def test_a_key_is_shown_once_and_stored_as_a_hash(
    admin: httpx.AsyncClient, db: Database
) -> None:
    given = await made(admin, "read", "decide")

    listed = (await admin.get(ROUTE)).json()["items"][0]
    assert {**listed, "key": given["key"]} == given
    prefix, public_id, secret = given["key"].split("_", 2)
    assert (prefix, len(public_id), len(secret)) == ("mk", 8, 43)
    assert listed["shownAs"] == f"mk_{public_id}_...{secret[-4:]}"
    async with db.platform() as session:
        row = (await session.exec(select(ApiKey))).one()
        maker = (await session.exec(select(User))).one()
    assert row.key_hash == key_hash(given["key"])
    assert secret not in row.model_dump_json()
    assert (row.created_by, listed["createdBy"]) == (maker.id, str(maker.id))
    [event] = await told(db)
    assert (event.action, event.entity_id) == ("key.created", given["id"])
    assert event.details["scopes"] == ["decide", "read"]
    assert secret not in event.model_dump_json()


@pytest.mark.parametrize(
    ("scope", "statuses"),
    [("read", (200, 403)), ("decide", (200, 200)), ("orders:write", (403, 403))],
)
async def test_a_scope_opens_what_its_role_opens(
    admin: httpx.AsyncClient,
    api: httpx.AsyncClient,
    db: Database,
    scope: str,
    statuses: tuple[int, int],
) -> None:
    job = rows.job(status=JobStatus.NEEDS_ATTENTION, step="create_site")
    await rows.add(db, job)
    headers = key(await made(admin, scope))

    read = await api.get(f"/api/jobs/{job.id}", headers=headers)
    retried = await api.post(f"/api/jobs/{job.id}/retry", headers=headers)

    assert (read.status_code, retried.status_code) == statuses


async def test_a_decision_by_key_names_the_key(
    admin: httpx.AsyncClient, api: httpx.AsyncClient, db: Database
) -> None:
    job = rows.job(status=JobStatus.NEEDS_ATTENTION, step="create_site")
    await rows.add(db, job)
    given = await made(admin, "decide")

    await api.post(f"/api/jobs/{job.id}/retry", headers=key(given))

    [event] = await told(db, "decision.retry")
    assert (event.actor_kind, str(event.actor_id)) == ("api_key", given["id"])
    assert event.actor == f"reports ({given['key'][:11]})"


async def test_no_key_manages_keys_nor_has_a_login(
    admin: httpx.AsyncClient, api: httpx.AsyncClient
) -> None:
    headers = key(await made(admin, "read", "decide"))

    assert (await api.get(ROUTE, headers=headers)).status_code == 403
    body = {"name": "more", "scopes": ["read"]}
    assert (await api.post(ROUTE, headers=headers, json=body)).status_code == 403
    assert (await api.get("/api/audit", headers=headers)).status_code == 403
    for of_people in ("/api/auth/me", "/api/auth/sessions"):
        assert (await api.get(of_people, headers=headers)).status_code == 401


async def test_a_key_sees_its_tenant_alone(
    log_in: LogIn, api: httpx.AsyncClient, db: Database
) -> None:
    await rows.add(db, rows.other_tenant(), rows.customer(), rows.customer(rows.OTHER))
    platform = await log_in(Role.SUPER_ADMIN)
    theirs = await log_in(Role.ADMIN, tenant_id=rows.OTHER)

    for maker in (platform, theirs):
        headers = key(await made(maker, "read", "decide"))
        assert (await api.get("/api/customers", headers=headers)).json()["total"] == 1
    assert (await theirs.get(ROUTE)).json()["total"] == 1
    foreign = await made(platform)
    assert (await theirs.delete(f"{ROUTE}/{foreign['id']}")).status_code == 404


async def test_a_revoked_key_is_refused_by_the_very_next_request_of_any_process(
    settings: ApiSettings, admin: httpx.AsyncClient, db: Database
) -> None:
    given = await made(admin)
    async with another_process(settings) as elsewhere:
        for _ in range(3):
            seen = await elsewhere.get("/api/jobs", headers=key(given))
            assert seen.status_code == 200

        assert (await admin.delete(f"{ROUTE}/{given['id']}")).status_code == 204

        refused = await elsewhere.get("/api/jobs", headers=key(given))
        assert refused.status_code == 401
        assert refused.json()["error"]["message"] == (
            "the API key is not valid, or not any more"
        )
    assert (await admin.delete(f"{ROUTE}/{given['id']}")).status_code == 204
    [event] = await told(db, "key.revoked")
    assert event.entity_id == given["id"]
    assert (await admin.delete(f"{ROUTE}/{uuid4()}")).status_code == 404


async def test_a_code_for_the_temporal_ui_ends_with_the_key_that_got_it(
    admin: httpx.AsyncClient, api: httpx.AsyncClient, db: Database
) -> None:
    given = await made(admin, "read", "decide")
    waits = JobStatus.NEEDS_ATTENTION
    job = rows.job(status=waits, step="create_site", reason=Reason.REJECTED)
    await rows.add(db, job)
    issued = await api.post(
        f"/api/jobs/{job.id}/codes", json={"act": "retry"}, headers=key(given)
    )
    assert issued.status_code == 201, issued.text

    assert (await admin.delete(f"{ROUTE}/{given['id']}")).status_code == 204

    ref = JobRef(job.id, job.tenant_id, job.subject_id, JobKind.WEBSITE_PROVISION)
    signal = SignalReceived(ref, Act.RETRY, None, issued.json()["code"], 1)
    assert await JobActivities(db).accept_signal(signal) is None


async def maker(log_in: LogIn, db: Database, role: Role) -> tuple[Any, User]:
    """Somebody new who makes keys, and their row."""
    client = await log_in(role)
    async with db.platform() as session:
        newest = select(User).order_by(col(User.created_at).desc()).limit(1)
        return client, (await session.exec(newest)).one()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"status": "disabled"}, "was disabled"),
        ({"roles": ["operator"]}, "lost the role that it took"),
    ],
)
async def test_a_key_ends_with_the_right_to_make_it_and_does_not_come_back(
    log_in: LogIn,
    api: httpx.AsyncClient,
    db: Database,
    change: dict[str, Any],
    why: str,
) -> None:
    owner, leaver = await log_in(Role.SUPER_ADMIN), await maker(log_in, db, Role.ADMIN)
    theirs, anothers = await made(leaver[0]), await made(owner)
    where = f"/api/users/{leaver[1].id}"

    changed = await owner.put(where, json=change)

    assert changed.status_code == 200, changed.text
    assert (await api.get("/api/jobs", headers=key(theirs))).status_code == 401
    assert (await api.get("/api/jobs", headers=key(anothers))).status_code == 200
    [event] = await told(db, "key.revoked")
    assert event.entity_id == theirs["id"]
    assert event.actor.startswith("super_admin-")
    assert event.reason == f"its maker {leaver[1].email} {why}"

    back = {"status": "active", "roles": ["admin"]}
    assert (await owner.put(where, json=back)).status_code == 200
    assert (await api.get("/api/jobs", headers=key(theirs))).status_code == 401


async def test_whoever_is_no_super_admin_any_more_loses_unlimited_keys_alone(
    log_in: LogIn, api: httpx.AsyncClient, db: Database
) -> None:
    owner = await log_in(Role.SUPER_ADMIN)
    other = await maker(log_in, db, Role.SUPER_ADMIN)
    plain, fast = await made(other[0]), await made(other[0], "read", "unlimited")

    where = f"/api/users/{other[1].id}"
    changed = await owner.put(where, json={"roles": ["admin"]})

    assert changed.status_code == 200, changed.text
    assert (await api.get("/api/jobs", headers=key(plain))).status_code == 200
    assert (await api.get("/api/jobs", headers=key(fast))).status_code == 401


async def test_of_a_key_made_while_its_maker_is_disabled_nothing_is_left(
    log_in: LogIn, api: httpx.AsyncClient, db: Database
) -> None:
    owner = await log_in(Role.SUPER_ADMIN)
    client, leaver = await maker(log_in, db, Role.ADMIN)
    body = {"name": "reports", "scopes": ["read"]}

    answers = await asyncio.gather(
        client.post(ROUTE, json=body),
        owner.put(f"/api/users/{leaver.id}", json={"status": "disabled"}),
        client.post(ROUTE, json=body),
    )

    given = [one.json() for one in answers if one.status_code == 201]
    for one in given:
        assert (await api.get("/api/jobs", headers=key(one))).status_code == 401
    assert {one.status_code for one in answers} <= {200, 201, 401, 403}


async def test_a_key_ends_when_it_was_to_end(
    admin: httpx.AsyncClient, api: httpx.AsyncClient, db: Database
) -> None:
    ends = (utc_now() + timedelta(hours=1)).isoformat()
    given = await made(admin, expiresAt=ends)
    assert (await api.get("/api/jobs", headers=key(given))).status_code == 200

    async with db.platform() as session:
        row = await session.get_one(ApiKey, UUID(given["id"]))
        row.expires_at = utc_now() - timedelta(seconds=1)
        await session.commit()

    assert (await api.get("/api/jobs", headers=key(given))).status_code == 401


@pytest.mark.parametrize(
    "presented", ["", "mk_", "mk_00000000_guessed", "Bearer x", "\xff", "x" * 5000]
)
async def test_what_is_no_key_opens_nothing(
    api: httpx.AsyncClient, presented: str
) -> None:
    headers = {"X-API-Key": presented.encode("latin-1")}

    assert (await api.get("/api/jobs", headers=headers)).status_code == 401


async def test_a_key_beside_a_login_is_one_too_many(admin: httpx.AsyncClient) -> None:
    given = await made(admin)

    assert (await admin.get("/api/jobs", headers=key(given))).status_code == 401


@pytest.mark.parametrize(
    "header", [{"Origin": "https://shop.example"}, {"Sec-Fetch-Site": "cross-site"}]
)
async def test_a_key_in_a_browser_is_refused_and_told(
    admin: httpx.AsyncClient,
    api: httpx.AsyncClient,
    db: Database,
    header: dict[str, str],
) -> None:
    given = await made(admin)

    for _ in range(3):
        answer = await api.get("/api/jobs", headers={**key(given), **header})
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == "KEY_IN_BROWSER"

    [event] = await told(db, "key.used_in_browser")
    assert (event.entity_id, event.tenant_id) == (given["id"], MIGRAHOSTING)
    assert (await admin.get("/api/jobs", headers=header)).status_code == 200


async def test_the_last_use_is_kept_to_the_minute(
    admin: httpx.AsyncClient, api: httpx.AsyncClient, db: Database
) -> None:
    given = await made(admin)
    assert given["lastUsedAt"] is None

    async def use() -> datetime:
        await api.get("/api/jobs", headers=key(given))
        async with db.platform() as session:
            used = (await session.get_one(ApiKey, UUID(given["id"]))).last_used_at
        assert used is not None
        return used

    first = await use()
    assert await use() == first
    async with db.platform() as session:
        row = await session.get_one(ApiKey, UUID(given["id"]))
        row.last_used_at = first - timedelta(minutes=2)
        await session.commit()
    assert await use() > first


@pytest.mark.parametrize("ends", ["9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59Z"])
async def test_a_key_that_ends_after_all_years_is_refused_and_shuts_no_list(
    admin: httpx.AsyncClient, ends: str
) -> None:
    given = {"name": "reports", "scopes": ["read"], "expiresAt": ends}
    refused = await admin.post(ROUTE, json=given)
    listed = await admin.get(ROUTE)

    assert listed.json() == {"items": [], "total": 0}, listed.text
    assert refused.status_code == 422, refused.text
    assert refused.json()["error"]["details"]["field"] == "expiresAt"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["admin"]}, "scopes[0]"),
        ({"expiresAt": "2020-01-01T00:00:00Z"}, "expiresAt"),
        ({"expiresAt": "2099-01-01T00:00:00"}, "expiresAt"),
    ],
)
async def test_a_wrong_wish_is_named(
    admin: httpx.AsyncClient, db: Database, changes: dict[str, Any], field: str
) -> None:
    body = {"name": "reports", "scopes": ["read"], **changes}

    answer = await admin.post(ROUTE, json=body)

    assert answer.status_code == 422
    assert answer.json()["error"]["details"]["field"] == field
    assert await told(db) == []


async def test_only_admins_make_keys_and_only_our_own_hand_in_orders(
    log_in: LogIn, db: Database
) -> None:
    await rows.add(db, rows.other_tenant())
    operator = await log_in(Role.OPERATOR)
    theirs = await log_in(Role.ADMIN, tenant_id=rows.OTHER)

    for client, scope in ((operator, "read"), (theirs, "orders:write")):
        body = {"name": "x", "scopes": [scope]}
        assert (await client.post(ROUTE, json=body)).status_code == 403


@pytest.mark.parametrize("demand", Demand)
async def test_a_key_aborts_only_if_that_is_among_its_scopes(
    settings: ApiSettings, admin: httpx.AsyncClient, db: Database, demand: Demand
) -> None:
    """It proves no second factor; the scope stands for it."""
    job = rows.job(status=JobStatus.NEEDS_ATTENTION, step="create_site")
    await rows.add(db, job)
    decides = key(await made(admin, "decide"))
    aborts = key(await made(admin, "decide", "abort"))
    demanding = settings.model_copy(update={"second_factor": demand})

    async with running(demanding) as other, client_of(other) as api:
        where = f"/api/jobs/{job.id}"
        assert (await api.get(where, headers=decides)).status_code == 200
        body = {"scope": "item", "reason": "x"}
        refused = await api.post(f"{where}/abort", headers=decides, json=body)
        done = await api.post(f"{where}/abort", headers=aborts, json=body)

    assert refused.status_code == 403
    assert refused.json()["error"]["message"] == "this needs an API key of scope abort"
    assert done.status_code == 200


async def test_only_the_platform_frees_a_key_from_limits(
    settings: ApiSettings, admin: httpx.AsyncClient, log_in: LogIn
) -> None:
    body = {"name": "load", "scopes": ["read", "unlimited"]}
    assert (await admin.post(ROUTE, json=body)).status_code == 403
    free = key(await made(await log_in(Role.SUPER_ADMIN), "read", "unlimited"))
    bound = key(await made(admin, "read"))
    strict = settings.model_copy(update={"call_limit": 5})

    async with running(strict) as app, client_of(app) as api:
        counts = [
            [(await api.get("/api/jobs", headers=one)).status_code for _ in range(6)]
            for one in (free, bound)
        ]

    assert counts == [[200] * 6, [200] * 5 + [429]]


async def buy_with(
    api: httpx.AsyncClient, given: dict[str, Any], **headers: str
) -> httpx.Response:
    return await api.post(
        ORDER_CREATED, json=order(), headers={**key(given), **headers}
    )


async def test_an_order_comes_with_a_key_in_place_of_a_signature(
    admin: httpx.AsyncClient, api: httpx.AsyncClient, db: Database
) -> None:
    await stock(db)
    given = await made(admin, "orders:write")

    assert (await buy_with(api, given)).status_code == 202

    forged = {"X-Webhook-Signature": signature(b"another body")}
    assert (await buy_with(api, given, **forged)).status_code == 401
    assert (await buy_with(api, await made(admin, "decide"))).status_code == 403
    told_causes = [one.reason for one in await told(db, "webhook.refused")]
    assert told_causes == [
        "X-Webhook-Signature does not fit the body",
        "this needs an API key of scope orders:write",
    ]


async def test_every_call_takes_a_key_but_those_of_people_and_of_webhooks(
    app: FastAPI,
) -> None:
    """The document says so, too."""
    paths = app.openapi()["paths"]
    takes = {
        path
        for path, methods in paths.items()
        for one in methods.values()
        if {"APIKeyHeader": []} in one.get("security", ())
    }
    of_people = {path for path in paths if path.startswith("/api/auth/")}
    public = {
        "/api/health",
        "/api/mail/bounces",
        "/api/payments/stripe/webhook",
        "/api/status",
    }
    assert set(paths) - takes <= of_people | public
    assert not takes & of_people
    told = {"read", "decide", "abort", "orders:write", "unlimited"}
    assert {str(scope) for scope in Scope} == told
