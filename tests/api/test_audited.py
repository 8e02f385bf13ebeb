"""Logins, decisions and payments leave their line in the audit log, and one only."""

from uuid import uuid4

import httpx
import pytest
from argon2 import PasswordHasher
from sqlmodel import select

from models.base import utc_now
from models.database import Database
from models.jobs import Decision, Job
from models.queries import decisions
from models.queries.audit import SYSTEM
from models.states import Act, JobStatus, Reason
from models.tenants import MIGRAHOSTING
from models.users import Role, User
from tests.api import rows
from tests.api.audited import told
from tests.api.conftest import LogIn, add_user
from tests.api.shop import HOSTING
from tests.api.shop import stock as stock_up
from tests.api.test_unclaimed_payments import ORDER, ROUTE, listed

PASSWORD = "correct horse battery staple"


@pytest.fixture
async def user(db: Database) -> User:
    await rows.add(db, rows.other_tenant())
    hasher = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    return await add_user(
        db, Role.ADMIN, tenant_id=rows.OTHER, password_hash=hasher.hash(PASSWORD)
    )


@pytest.fixture
async def parked(db: Database) -> Job:
    """A website's job that waits for somebody."""
    job = rows.job(
        status=JobStatus.NEEDS_ATTENTION,
        step="deploy_starter",
        reason=Reason.CONFLICT,
        message="the name is taken",
        started_generation=1,
    )
    await rows.add(db, job)
    return job


async def try_to_log_in(
    api: httpx.AsyncClient, email: str, password: str = PASSWORD
) -> httpx.Response:
    body = {"email": email, "password": password}
    return await api.post("/api/auth/login", json=body)


async def test_a_login_and_its_end_are_told_in_the_users_tenant(
    api: httpx.AsyncClient, db: Database, user: User
) -> None:
    token = (await try_to_log_in(api, user.email)).json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    await api.post("/api/auth/logout", headers=headers)

    begun, ended = await told(db, "login.succeeded", "login.ended")
    for event in (begun, ended):
        assert (event.tenant_id, event.actor_kind) == (rows.OTHER, "user")
        assert (event.actor_id, event.actor) == (user.id, user.email)
        assert event.entity == "session"
    assert begun.entity_id == ended.entity_id


@pytest.mark.parametrize("wrong", ["password", "address", "disabled"])
async def test_a_failed_login_is_told_with_the_typed_address_and_no_password(
    api: httpx.AsyncClient, db: Database, user: User, wrong: str
) -> None:
    if wrong == "disabled":
        async with db.platform() as session:
            (await session.get_one(User, user.id)).disabled_at = utc_now()
            await session.commit()
    email = "Nobody@example.com" if wrong == "address" else user.email
    password = PASSWORD if wrong == "disabled" else "the-wrong-canary"

    assert (await try_to_log_in(api, email, password)).status_code == 401

    [event] = await told(db)
    assert (event.action, event.details["wrong"]) == ("login.failed", wrong)
    assert (event.actor_kind, event.actor) == ("anonymous", email.lower())
    known = wrong != "address"
    assert event.tenant_id == (rows.OTHER if known else MIGRAHOSTING)
    assert event.entity_id == (str(user.id) if known else None)
    assert password not in event.model_dump_json()


async def test_a_refresh_token_that_comes_back_is_told(
    api: httpx.AsyncClient, db: Database, user: User
) -> None:
    token = (await try_to_log_in(api, user.email)).json()["refreshToken"]
    for program in ("a browser", "a thief"):
        await api.post(
            "/api/auth/refresh",
            json={"refreshToken": token},
            headers={"user-agent": program},
        )

    [event] = await told(db, "login.token_reused")
    assert (event.tenant_id, event.actor_id) == (rows.OTHER, user.id)
    assert token not in event.model_dump_json()


@pytest.mark.parametrize(
    ("call", "body", "action"),
    [
        ("retry", {}, "decision.retry"),
        ("abort", {"scope": "item"}, "decision.abort_item"),
    ],
)
async def test_a_decision_is_told_with_who_and_why_and_once(
    operator: httpx.AsyncClient,
    db: Database,
    parked: Job,
    call: str,
    body: dict[str, str],
    action: str,
) -> None:
    for _ in range(2):
        answer = await operator.post(
            f"/api/jobs/{parked.id}/{call}", json={"reason": "I called them", **body}
        )
        assert answer.status_code == 200, answer.text

    [event] = await told(db)
    async with db.platform() as session:
        [decider] = (await session.exec(select(User))).all()
    assert (event.action, event.entity) == (action, "job")
    assert (event.entity_id, event.reason) == (str(parked.id), "I called them")
    assert (event.actor_id, event.actor) == (decider.id, decider.email)
    assert event.details["decisionId"] == answer.json()["decision"]["id"]
    assert (event.details["via"], event.details["verified"]) == ("api", True)


@pytest.mark.parametrize(
    ("act", "action"),
    [
        (Act.RETRY, "decision.retry"),
        (Act.SKIP, "decision.skip"),
        (Act.ABORT_ITEM, "decision.abort_item"),
        (Act.ABORT_ORDER, "decision.abort_order"),
    ],
)
async def test_each_act_has_a_word_of_its_own(
    db: Database, parked: Job, act: Act, action: str
) -> None:
    decision = Decision(
        tenant_id=parked.tenant_id,
        job_id=parked.id,
        generation=1,
        act=act,
        why="",
        author="somebody",
    )
    async with db.platform() as session:
        await decisions.tell(session, parked, decision, SYSTEM)
        await session.commit()

    [event] = await told(db)
    assert event.action == action


async def test_an_issued_code_is_told_and_not_shown(
    operator: httpx.AsyncClient, db: Database, parked: Job
) -> None:
    answer = await operator.post(f"/api/jobs/{parked.id}/codes", json={"act": "skip"})

    [event] = await told(db)
    assert (event.action, event.entity_id) == ("decision.code_issued", str(parked.id))
    assert event.details["act"] == "skip"
    assert answer.json()["code"] not in event.model_dump_json()


async def test_what_is_refused_is_not_told_as_done(
    operator: httpx.AsyncClient, db: Database, parked: Job
) -> None:
    for where in (f"/api/jobs/{uuid4()}/retry", f"/api/jobs/{parked.id}/skip"):
        await operator.post(where, json={"step": "no_such_step", "reason": "x"})

    assert await told(db) == []


async def test_what_is_made_of_an_unclaimed_payment_is_told(
    log_in: LogIn, db: Database
) -> None:
    platform = await log_in(Role.SUPER_ADMIN)
    await stock_up(db)
    bought, returned = await listed(db, "pi_1"), await listed(db, "pi_2")

    body = {**ORDER, "items": [HOSTING]}
    answer = await platform.post(f"{ROUTE}/{bought.id}/order", json=body)
    await platform.post(f"{ROUTE}/{returned.id}/refund", json={"reason": "a gift"})

    ordered, refunded = await told(db)
    assert (ordered.action, ordered.entity_id) == ("payment.ordered", str(bought.id))
    assert ordered.details["orderId"] == answer.json()["orderId"]
    assert (refunded.action, refunded.reason) == ("payment.refunded", "a gift")
    assert refunded.details["stripePaymentIntentId"] == "pi_2"
    for event in (ordered, refunded):
        assert event.tenant_id == MIGRAHOSTING
        assert event.actor.startswith("super_admin-")
        assert (event.details["amount"], event.details["currency"]) == (4999, "usd")
