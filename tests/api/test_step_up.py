"""What cannot be taken back wants a second factor that was proven just now."""

from uuid import UUID

import httpx
import pytest

from api.auth.demand import FRESH
from models.base import utc_now
from models.database import Database
from models.payments import UnclaimedPayment
from models.states import Act, JobKind, JobStatus, Reason
from models.users import Role
from tests.api import rows
from tests.api.conftest import LogIn
from tests.api.people import App, bearer, enrol, log_in, person
from tests.api.test_second_factor import age_proof, api, error, strict

__all__ = ["api", "strict"]

ABORT = {"scope": "item", "reason": "the customer has changed their mind"}


@pytest.fixture
async def owner(db: Database, api: httpx.AsyncClient) -> App:
    """A super admin logs in by `api`; their app."""
    token = (await log_in(api, await person(db, Role.SUPER_ADMIN))).json()["token"]
    api.headers.update(bearer(token))
    return (await enrol(api, token))[0]


@pytest.fixture
async def job(db: Database) -> UUID:
    found = rows.job()
    await rows.add(db, found)
    return found.id


@pytest.fixture
async def payment(db: Database) -> UUID:
    found = UnclaimedPayment(
        stripe_payment_intent_id="pi_1",
        stripe_customer_id="cus_1",
        amount=4999,
        currency="usd",
        paid_at=utc_now(),
    )
    await rows.add(db, found)
    return found.id


async def step_up(api: httpx.AsyncClient, app: App) -> None:
    answer = await api.post("/api/auth/step-up", json={"code": app.code()})
    assert answer.status_code == 200


async def test_an_abort_wants_a_fresh_code_and_says_where_to_send_it(
    api: httpx.AsyncClient, db: Database, owner: App, job: UUID
) -> None:
    await age_proof(db, FRESH)

    refused = await api.post(f"/api/jobs/{job}/abort", json=ABORT)

    assert error(refused) == (403, "STEP_UP_REQUIRED")
    assert refused.json()["error"]["details"] == {"call": "POST /api/auth/step-up"}
    decisions = await api.get(f"/api/jobs/{job}/decisions")
    assert decisions.json()["total"] == 0
    await step_up(api, owner)
    assert (await api.post(f"/api/jobs/{job}/abort", json=ABORT)).status_code == 200


async def test_so_does_a_code_that_aborts_by_signal(
    api: httpx.AsyncClient, db: Database, owner: App, job: UUID
) -> None:
    async def code(act: Act) -> httpx.Response:
        return await api.post(f"/api/jobs/{job}/codes", json={"act": act})

    await age_proof(db, FRESH)

    assert error(await code(Act.ABORT_ITEM)) == (403, "STEP_UP_REQUIRED")
    assert (await code(Act.RETRY)).status_code == 201
    await step_up(api, owner)
    assert (await code(Act.ABORT_ITEM)).status_code == 201


async def test_and_a_refund(
    api: httpx.AsyncClient, db: Database, owner: App, payment: UUID
) -> None:
    where = f"/api/payments/unclaimed/{payment}/refund"
    await age_proof(db, FRESH)

    refused = await api.post(where, json={"reason": "nobody claims it"})

    assert error(refused) == (403, "STEP_UP_REQUIRED")
    await step_up(api, owner)
    accepted = await api.post(where, json={"reason": "nobody claims it"})
    assert accepted.status_code == 202


async def test_a_foreign_job_is_unknown_rather_than_in_need_of_a_code(
    api: httpx.AsyncClient, db: Database
) -> None:
    token = (await log_in(api, await person(db, Role.ADMIN))).json()["token"]
    await enrol(api, token)
    await age_proof(db, FRESH)
    foreign = rows.job(rows.OTHER)
    await rows.add(db, rows.other_tenant(), foreign)

    answer = await api.post(
        f"/api/jobs/{foreign.id}/abort", json=ABORT, headers=bearer(token)
    )

    assert error(answer) == (404, "NOT_FOUND")


async def test_where_none_is_demanded_nobody_is_asked(log_in: LogIn, job: UUID) -> None:
    """As on one's own machine."""
    operator = await log_in(Role.OPERATOR)

    answer = await operator.post(f"/api/jobs/{job}/abort", json=ABORT)

    assert answer.status_code == 200


async def test_money_that_is_settled_by_hand_wants_a_fresh_code_by_whatever_door(
    api: httpx.AsyncClient, db: Database, owner: App
) -> None:
    buyer = rows.customer()
    order, _ = rows.order(buyer)
    stuck = rows.job(
        kind=JobKind.FULFIL_ORDER,
        subject_id=order.id,
        order_id=order.id,
        status=JobStatus.NEEDS_ATTENTION,
        step="refund_order",
        reason=Reason.REJECTED,
        started_generation=1,
        undoing=True,
    )
    await rows.add(db, buyer, order, stuck)
    await age_proof(db, FRESH)
    skip = {"act": "skip", "reason": "the dispute was lost"}

    for path, body in (
        (f"/api/jobs/{stuck.id}/skip", {"reason": "the dispute was lost"}),
        (f"/api/jobs/{stuck.id}/codes", {"act": "skip"}),
        ("/api/operator/inbox/decide", skip | {"jobIds": [str(stuck.id)]}),
    ):
        assert error(await api.post(path, json=body)) == (403, "STEP_UP_REQUIRED")
    decided = await api.get(f"/api/jobs/{stuck.id}/decisions")
    assert decided.json()["total"] == 0

    await step_up(api, owner)
    made = await api.post(
        "/api/operator/inbox/decide", json=skip | {"jobIds": [str(stuck.id)]}
    )
    assert made.json()["decided"] == 1, made.text
