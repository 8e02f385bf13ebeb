"""Every operation x every kind of caller, from the OpenAPI document itself.

An operation that is missing from `RIGHTS` fails the test: whoever adds one says who may
call it. What is refused must also have changed nothing.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import httpx
import jwt
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlmodel import delete, select

from models.alerts import Alert
from models.api_keys import ApiKey, key_hash
from models.base import utc_now
from models.database import Database
from models.payments import UnclaimedPayment
from models.sessions import LoginSession
from models.states import UnclaimedStatus
from models.tables import metadata
from models.tenants import MIGRAHOSTING
from models.users import Role, User
from tests.api import rows
from tests.api.conftest import SECRET_KEY, add_user, client_of, token_of
from tests.contract import recipes

# open: nobody needs to log in. signed: a signature over the body. login: any login of a
# person. The others: that role and those above it, or an API key that stands for it.
RIGHTS: Final[Mapping[str, str]] = {
    "health.health": "open",
    "auth.log_in": "open",
    "auth.refresh": "open",
    "orders.order_created": "signed",
    "stripe.stripe_event": "signed",
    "bounces.bounce": "signed",
    "users.set_password": "open",
    "auth.me": "login",
    "auth.log_out": "login",
    "sessions.list_sessions": "login",
    "sessions.revoke": "login",
    "sessions.revoke_others": "login",
    "sessions.change_password": "login",
    "second_factors.standing": "login",
    "second_factors.enrol": "login",
    "second_factors.disable": "login",
    "second_factors.confirm": "login",
    "second_factors.renew_recovery_codes": "login",
    "second_factors.step_up": "login",
    "status.status": "viewer",
    "dashboard.get_summary": "viewer",
    "products.list_products": "viewer",
    "products.get_product": "viewer",
    "customers.list_customers": "viewer",
    "customers.get_customer": "viewer",
    "customers.list_subscriptions": "viewer",
    "customers.list_websites": "viewer",
    "subscriptions.list_subscriptions": "viewer",
    "subscriptions.get_subscription": "viewer",
    "orders.list_orders": "viewer",
    "orders.get_order": "viewer",
    "jobs.list_jobs": "viewer",
    "jobs.list_tasks": "viewer",
    "jobs.get_job": "viewer",
    "jobs.list_steps": "viewer",
    "job_events.watch_job": "viewer",
    "decisions.list_decisions": "viewer",
    "websites.list_websites": "viewer",
    "websites.get_website": "viewer",
    "backups.list_backups": "viewer",
    "cloudpods.list_cloudpods": "viewer",
    "cloudpods.get_cloudpod": "viewer",
    "cloudpods.list_actions": "viewer",
    "cloudpod_metrics.get_metrics": "viewer",
    "cloudpod_saves.list_snapshots": "viewer",
    "cloudpod_saves.list_backups": "viewer",
    "alerts.list_alerts": "viewer",
    "job_events.watch_inbox": "operator",
    "decisions.retry": "operator",
    "decisions.skip": "operator",
    "decisions.abort": "operator",
    "decisions.issue_code": "operator",
    "inbox.list_inbox": "operator",
    "inbox.list_groups": "operator",
    "inbox.decide": "operator",
    "inbox.show": "operator",
    "inbox.find": "operator",
    "inbox.list_orphans": "operator",
    "inbox.list_payments": "super_admin",
    "websites.create_website": "operator",
    "websites.delete_website": "operator",
    "websites.suspend_website": "operator",
    "websites.resume_website": "operator",
    "backups.back_up": "operator",
    "backups.restore": "operator",
    "cloudpods.rename_cloudpod": "operator",
    "cloudpods.set_ssh_keys": "operator",
    "cloudpods.delete_cloudpod": "operator",
    "cloudpods.suspend_cloudpod": "operator",
    "cloudpods.resume_cloudpod": "operator",
    "cloudpods.restart_cloudpod": "operator",
    "cloudpods.rebuild_cloudpod": "operator",
    "cloudpods.resize_cloudpod": "operator",
    "cloudpod_drift.list_drift": "operator",
    "cloudpod_drift.repair_cloudpod": "operator",
    "cloudpod_metrics.open_console": "operator",
    "cloudpod_saves.take_snapshot": "operator",
    "cloudpod_saves.roll_back": "operator",
    "cloudpod_saves.back_up": "operator",
    "cloudpod_saves.restore": "operator",
    "alerts.acknowledge": "operator",
    "alerts.resolve": "operator",
    "mails.list_mails": "operator",
    "cloudpods.create_cloudpod": "admin",
    "audit.list_events": "admin",
    "api_keys.list_keys": "admin",
    "api_keys.create_key": "admin",
    "api_keys.revoke_key": "admin",
    "users.list_users": "admin",
    "users.list_admin_users": "admin",
    "users.get_user": "admin",
    "users.create_user": "admin",
    "users.update_user": "admin",
    "users.delete_user": "admin",
    "users.invite_user": "admin",
    "tenants.list_tenants": "admin",
    "tenants.get_tenant": "admin",
    "tenants.create_tenant": "super_admin",
    "servers.list_servers": "admin",
    "servers.get_server": "admin",
    "servers.drain_server": "super_admin",
    "servers.undrain_server": "super_admin",
    "alert_rules.list_rules": "super_admin",
    "alert_rules.change_rule": "super_admin",
    "payments.list_unclaimed": "super_admin",
    "payments.order": "super_admin",
    "payments.refund": "super_admin",
}
ROLES: Final = ("viewer", "operator", "admin", "super_admin")
# What calls change by themselves, whoever is refused.
COUNTERS: Final = frozenset(
    {"audit_events", "audit_heads", "call_counts", "sessions", "users", "attempts"}
)


# Good bodies for those that would be refused before anybody looks the object up.
BODIES: Final[Mapping[str, Mapping[str, Any]]] = {
    "decisions.skip": {"reason": "why"},
    "decisions.abort": {"scope": "item", "reason": "why"},
    "decisions.issue_code": {"act": "retry"},
    "backups.restore": {"backupId": str(uuid4())},
    "cloudpods.rename_cloudpod": {"name": "other"},
    "cloudpods.set_ssh_keys": {"sshKeys": []},
    "cloudpod_saves.take_snapshot": {"name": "before"},
    "cloudpod_saves.roll_back": {"snapshotId": str(uuid4())},
    "cloudpod_saves.restore": {"backupId": str(uuid4())},
    "alerts.resolve": {"reason": "why"},
    "users.update_user": {"name": "Other"},
}
# They undo what is under way: a key needs the scope `abort` for it as well.
ABORTS: Final = frozenset({"decisions.abort", "cloudpods.delete_cloudpod"})
# The platform's own, whichever tenant asks.
PLATFORMS: Final = frozenset(
    {
        "servers.get_server",
        "servers.drain_server",
        "servers.undrain_server",
        "alert_rules.change_rule",
    }
)
STREAMS: Final = frozenset({"job_events.watch_job", "job_events.watch_inbox"})


class Begun(httpx.AsyncBaseTransport):
    """Hangs up when the answer has begun; only a refusal has a body."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": "http",
            "path": request.url.path,
            "raw_path": request.url.raw_path,
            "query_string": request.url.query,
            "headers": [(k.lower(), v) for k, v in request.headers.raw],
            "client": ("127.0.0.1", 1),
            "server": ("api", 80),
            "root_path": "",
        }
        told: dict[str, Any] = {"status": 0, "body": b"", "headers": []}
        over = asyncio.Event()
        asked = False

        async def receive() -> dict[str, Any]:
            nonlocal asked
            if asked:
                await over.wait()
                return {"type": "http.disconnect"}
            asked = True
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                told["status"], told["headers"] = message["status"], message["headers"]
                if message["status"] == 200:
                    over.set()
            else:
                told["body"] += message.get("body", b"")

        await asyncio.wait_for(self._app(scope, receive, send), 60)
        body = told["body"] if told["status"] != 200 else b""
        return httpx.Response(told["status"], headers=told["headers"], content=body)


@dataclass(frozen=True)
class Operation:
    id: str
    method: str
    path: str
    right: str

    def at(self, things: Mapping[str, str]) -> str:
        """With the ids of things that are there."""

        def known(found: re.Match[str]) -> str:
            noun = self.path.split("{")[0].removeprefix("/api/").strip("/")
            return things.get(noun) or things[noun.split("/")[0]]

        return re.sub(r"\{\w+\}", known, self.path)


@dataclass(frozen=True)
class Scene:
    """A web process, its database, and one of everything in MigraHosting."""

    app: FastAPI
    http: httpx.AsyncClient
    db: Database
    operations: list[Operation]
    things: Mapping[str, str]
    logins: dict[tuple[Role, UUID], str] = field(default_factory=dict)

    async def login(
        self, one: Operation, role: Role, tenant_id: UUID = MIGRAHOSTING
    ) -> dict[str, str]:
        """Headers of such a user; a fresh one where the call may end the login."""
        known = (role, tenant_id)
        if one.right == "login" or known not in self.logins:
            user = await add_user(self.db, role, tenant_id=tenant_id)
            self.logins[known] = await token_of(self.db, user)
        return {"Authorization": f"Bearer {self.logins[known]}"}

    async def call(self, one: Operation, headers: Mapping[str, str]) -> httpx.Response:
        """With an empty body. A stream is not read: it has begun, and never ends."""
        changes = one.method in ("POST", "PUT", "PATCH")
        body = BODIES.get(one.id, {}) if changes else None
        where = one.at(self.things)
        if one.id not in STREAMS:
            return await self.http.request(
                one.method, where, headers=dict(headers), json=body
            )
        begun = Begun(self.app)
        async with httpx.AsyncClient(transport=begun, base_url="http://api") as http:
            return await http.get(where, headers=dict(headers))

    async def standing(self) -> dict[str, str]:
        """A sum over every row of every table but the counters."""
        sums: dict[str, str] = {}
        async with self.db.platform() as session:
            connection = await session.connection()
            for table in sorted(metadata.tables):
                if table not in COUNTERS:
                    found = await connection.execute(
                        text(
                            "select md5(coalesce(string_agg(t::text, '' order by"
                            f" t::text), '')) from {table} t"
                        )
                    )
                    sums[table] = str(found.scalar_one())
        return sums


def operations(app: FastAPI) -> list[Operation]:
    """Those of the document; one without a right is named."""
    found = [
        (told["operationId"], method.upper(), path)
        for path, methods in app.openapi()["paths"].items()
        for method, told in methods.items()
    ]
    assert {one[0] for one in found} == RIGHTS.keys(), "say who may call it: RIGHTS"
    return [Operation(*one, RIGHTS[one[0]]) for one in found]


@pytest.fixture
async def scene(app: FastAPI, db: Database) -> AsyncIterator[Scene]:
    world = await recipes.populate(db)
    user = await add_user(db, Role.VIEWER)
    await token_of(db, user)
    job_id = UUID(world.paths["jobs"])
    payment = UnclaimedPayment(
        stripe_payment_intent_id="pi_nobodys",
        amount=4999,
        currency="usd",
        paid_at=utc_now(),
        status=UnclaimedStatus.LISTED,
    )
    alert = Alert(
        tenant_id=MIGRAHOSTING,
        cause="provider_rejected",
        subject_id=job_id,
        message="m",
    )
    key = ApiKey(
        tenant_id=MIGRAHOSTING, name="k", key_hash="x", public_id="y", last4="z"
    )
    await rows.add(db, payment, alert, key, rows.other_tenant())
    async with db.platform() as session:
        login = await session.exec(select(LoginSession.id).limit(1))
        session_id = login.one()
    async with client_of(app) as http:
        yield Scene(
            app,
            http,
            db,
            operations(app),
            {
                **world.paths,
                "auth/sessions": str(session_id),
                "users": str(user.id),
                "tenants": str(MIGRAHOSTING),
                "operator/inbox": str(job_id),
                "alerts": str(alert.id),
                "alert-rules": "job_parked",
                "payments/unclaimed": str(payment.id),
                "api-keys": str(key.id),
            },
        )


def forged(user: User, session_id: UUID, **changed: Any) -> str:
    """A token as ours, but for what is changed; `key` signs it, None leaves it bare."""
    now = utc_now()
    key = changed.pop("key", SECRET_KEY)
    said = {
        "iss": "mpanel",
        "aud": "mpanel",
        "iat": now,
        "exp": now + timedelta(minutes=15),
        "sub": str(user.id),
        "sid": str(session_id),
        **changed,
    }
    return jwt.encode(
        said,
        key,
        algorithm="HS256" if key else "none",
        headers={"typ": "at+jwt"},
    )


async def nobodies(scene: Scene) -> dict[str, dict[str, str]]:
    """Callers whom nobody knows, each by another lie."""
    user = await add_user(scene.db, Role.SUPER_ADMIN)
    good = await token_of(scene.db, user)
    session_id = UUID(jwt.decode(good, options={"verify_signature": False})["sid"])
    past = utc_now() - timedelta(hours=1)
    disabled = await add_user(scene.db, Role.SUPER_ADMIN)
    disabled_token = await token_of(scene.db, disabled)
    ended = await add_user(scene.db, Role.SUPER_ADMIN)
    ended_token = await token_of(scene.db, ended)
    revoked = "mk_12345678_" + "r" * 43
    async with scene.db.platform() as session:
        (await session.get_one(User, disabled.id)).disabled_at = utc_now()
        await session.exec(delete(LoginSession).where(LoginSession.user_id == ended.id))
        session.add(
            ApiKey(
                tenant_id=MIGRAHOSTING,
                name="old",
                key_hash=key_hash(revoked),
                public_id="12345678",
                last4="rrrr",
                scopes=["decide"],
                revoked_at=utc_now(),
            )
        )
        await session.commit()
    bearers = {
        "bogus": "no.token.at-all",
        "expired": forged(user, session_id, exp=past),
        "alg none": forged(user, session_id, key=None),
        "another secret": forged(user, session_id, key="s" * 40),
        "another audience": forged(user, session_id, aud="partner"),
        "a login that has ended": ended_token,
        "a user who is disabled": disabled_token,
        "a session of somebody else": forged(disabled, session_id),
    }
    return {
        "none": {},
        **{who: {"Authorization": f"Bearer {one}"} for who, one in bearers.items()},
        "a bogus key": {"X-API-Key": "mk_00000000_" + "b" * 43},
        "a revoked key": {"X-API-Key": revoked},
    }


async def test_nobody_gets_in_and_nothing_changes(scene: Scene) -> None:
    callers = await nobodies(scene)
    before = await scene.standing()
    wrong = []
    for one in scene.operations:
        if one.right == "open":
            continue
        for who, headers in callers.items():
            status = (await scene.call(one, headers)).status_code
            if status != 401:
                wrong.append(f"{one.id} answers {status} to {who}")

    none(wrong)
    none(differing(before, await scene.standing()))


async def test_each_role_may_what_it_may(scene: Scene) -> None:
    wrong = []
    for one in scene.operations:
        if one.right in ("open", "signed"):
            continue
        least = ROLES.index(one.right) if one.right in ROLES else 0
        # From below, so that those who may not are refused before anything changes.
        for role in ROLES:
            answer = await scene.call(one, await scene.login(one, Role(role)))
            allowed = ROLES.index(role) >= least
            if not allowed and answer.status_code != 403:
                wrong.append(f"{one.id} answers {answer.status_code} to {role}")
            if allowed and refused(answer):
                wrong.append(f"{one.id} refuses {role}: {answer.text}")

    none(wrong)


def none(wrong: list[str]) -> None:
    """Told without a trace: what is wrong says enough."""
    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)


def differing(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    return [table for table in after if after[table] != before[table]]


def refused(answer: httpx.Response) -> bool:
    """Not for its role: what the call names may be nobody's, or want more than that."""
    return answer.status_code in (401, 405) or (
        answer.status_code == 403 and '"FORBIDDEN"' in answer.text
    )


async def test_another_tenants_admin_finds_nothing_and_changes_nothing(
    scene: Scene,
) -> None:
    before = await scene.standing()
    ours = {one for one in scene.things.values() if "-" in one}
    wrong = []
    for one in scene.operations:
        if one.right in ("open", "signed"):
            continue
        headers = await scene.login(one, Role.ADMIN, rows.OTHER)
        answer = await scene.call(one, headers)
        status = answer.status_code
        if one.right == "super_admin" or one.id in PLATFORMS:
            if status != 403:
                wrong.append(f"{one.id} answers {status}")
        elif "{" in one.path:
            if status != 404:
                wrong.append(f"{one.id} answers {status}: {body_of(answer)}")
        elif seen := [known for known in ours if known in body_of(answer)]:
            wrong.append(f"{one.id} shows {seen}")

    none(wrong)
    # Of their own they may have begun something: to enrol a second factor.
    changed = differing(before, await scene.standing())
    none([table for table in changed if table != "second_factors"])


def body_of(answer: httpx.Response) -> str:
    return answer.text if answer.is_closed and answer.is_success else ""


async def test_a_key_may_what_its_scopes_say(scene: Scene) -> None:
    keys = {}
    for scope in ("read", "decide", "orders:write"):
        key = f"mk_abcdefgh_{scope.replace(':', '-'):x<43}"
        keys[scope] = key
        await rows.add(
            scene.db,
            ApiKey(
                tenant_id=MIGRAHOSTING,
                name=scope,
                key_hash=key_hash(key),
                public_id="abcdefgh",
                last4=key[-4:],
                scopes=[scope],
            ),
        )
    allowed = {
        "read": {"viewer"},
        "decide": {"viewer", "operator"},
        "orders:write": set(),
    }
    wrong = []
    for one in scene.operations:
        if one.right in ("open", "signed"):
            continue
        for scope, key in keys.items():
            answer = await scene.call(one, {"X-API-Key": key})
            status = answer.status_code
            if one.right == "login":
                # What belongs to a person's login is for no program.
                if status != 401:
                    wrong.append(f"{one.id} answers {status} to a key")
            elif one.right not in allowed[scope] and status != 403:
                wrong.append(f"{one.id} answers {status} to a key for {scope}")
            elif one.right in allowed[scope] and refused(answer):
                if one.id in ABORTS and "scope abort" in answer.text:
                    continue
                wrong.append(f"{one.id} refuses a key for {scope}: {answer.text}")

    none(wrong)
