"""A payment that nobody claimed becomes an order or a refund, in one act, once."""

import asyncio
from uuid import UUID, uuid4

import httpx
import pytest
from sqlmodel import select

from models.base import utc_now
from models.database import Database
from models.jobs import Job
from models.orders import Order
from models.payments import PaymentClaim, PaymentRefund, UnclaimedPayment
from models.states import JobStatus, RefundStatus, UnclaimedStatus
from models.tenants import MIGRAHOSTING
from models.users import Role
from tests.api.conftest import LogIn
from tests.api.shop import BACKUPS, HOSTING, buy, count, order, stock

ROUTE = "/api/payments/unclaimed"
ORDER = {"customerEmail": "client@example.com", "items": [HOSTING]}


@pytest.fixture
async def payment(db: Database) -> UnclaimedPayment:
    """49.99 paid by cus_1, and a catalogue."""
    await stock(db)
    return await listed(db, "pi_1")


async def listed(db: Database, payment_intent_id: str) -> UnclaimedPayment:
    row = UnclaimedPayment(
        stripe_payment_intent_id=payment_intent_id,
        stripe_customer_id="cus_1",
        amount=4999,
        currency="usd",
        paid_at=utc_now(),
    )
    async with db.platform() as session:
        session.add(row)
        await session.commit()
    return row


@pytest.fixture
async def admin(log_in: LogIn) -> httpx.AsyncClient:
    return await log_in(Role.SUPER_ADMIN)


async def test_what_waits_is_listed(
    admin: httpx.AsyncClient, db: Database, payment: UnclaimedPayment
) -> None:
    page = (await admin.get(ROUTE)).json()
    assert page["total"] == 1
    assert page["items"][0]["stripePaymentIntentId"] == "pi_1"
    assert (page["items"][0]["amount"], page["items"][0]["currency"]) == (49.99, "USD")


async def test_a_payment_becomes_an_order_that_accepts_it(
    admin: httpx.AsyncClient, db: Database, payment: UnclaimedPayment
) -> None:
    answer = await admin.post(f"{ROUTE}/{payment.id}/order", json=ORDER)
    assert answer.status_code == 202, answer.text
    async with db.platform() as session:
        placed = await session.get_one(Order, UUID(answer.json()["orderId"]))
        assert placed.stripe_payment_intent_id == "pi_1"
        assert placed.stripe_customer_id == "cus_1"
        job = await session.get_one(Job, UUID(answer.json()["jobId"]))
        assert job.status == JobStatus.PENDING
        assert job.input == {"accepted_payment": "pi_1"}
        row = await session.get_one(UnclaimedPayment, payment.id)
        assert (row.status, row.order_id) == (UnclaimedStatus.ORDERED, placed.id)
        assert row.decided_by is not None
    assert (await admin.get(ROUTE)).json()["total"] == 0


async def test_two_clicks_at_once_make_one_order(
    admin: httpx.AsyncClient, db: Database, payment: UnclaimedPayment
) -> None:
    clicks = (
        admin.post(f"{ROUTE}/{payment.id}/order", json=ORDER),
        admin.post(f"{ROUTE}/{payment.id}/order", json=ORDER),
        admin.post(f"{ROUTE}/{payment.id}/refund", json={"reason": "never ordered"}),
    )
    answers = await asyncio.gather(*clicks)
    assert sorted(one.status_code for one in answers) == [202, 409, 409]
    assert await count(db, "orders") + await count(db, "payment_refunds") == 1


async def test_items_that_come_to_another_amount_are_refused(
    admin: httpx.AsyncClient, db: Database, payment: UnclaimedPayment
) -> None:
    answer = await admin.post(
        f"{ROUTE}/{payment.id}/order", json={**ORDER, "items": [HOSTING, BACKUPS]}
    )
    assert answer.status_code == 422
    assert answer.json()["error"]["details"]["field"] == "items"
    assert await count(db, "orders") == 0
    assert (await admin.get(ROUTE)).json()["total"] == 1


async def test_a_refund_is_intended_for_the_worker_to_make(
    admin: httpx.AsyncClient, db: Database, payment: UnclaimedPayment
) -> None:
    answer = await admin.post(
        f"{ROUTE}/{payment.id}/refund", json={"reason": "never ordered"}
    )
    assert answer.status_code == 202
    assert answer.json()["status"] == "refunded"
    async with db.platform() as session:
        refund = (await session.exec(select(PaymentRefund))).one()
    assert (refund.key, refund.status) == ("unclaimed:pi_1", RefundStatus.INTENDED)
    assert (refund.amount, refund.currency) == (4999, "usd")
    assert (refund.order_id, refund.tenant_id) == (None, MIGRAHOSTING)


async def test_a_payment_that_an_order_has_claimed_meanwhile_is_left_alone(
    admin: httpx.AsyncClient,
    api: httpx.AsyncClient,
    db: Database,
    payment: UnclaimedPayment,
) -> None:
    placed = (await buy(api, order())).json()
    async with db.platform() as session:
        session.add(
            PaymentClaim(
                tenant_id=MIGRAHOSTING,
                stripe_payment_intent_id="pi_1",
                order_id=UUID(placed["orderId"]),
                amount=4999,
                currency="usd",
            )
        )
        await session.commit()
    for act, body in (("order", ORDER), ("refund", {"reason": "never ordered"})):
        answer = await admin.post(f"{ROUTE}/{payment.id}/{act}", json=body)
        assert answer.status_code == 409
    assert await count(db, "payment_refunds") == 0


async def test_only_the_platform_decides_about_payments(
    api: httpx.AsyncClient, log_in: LogIn, db: Database, payment: UnclaimedPayment
) -> None:
    tenants_admin = await log_in(Role.ADMIN)
    for client, status in ((api, 401), (tenants_admin, 403)):
        answers = (
            await client.get(ROUTE),
            await client.post(f"{ROUTE}/{payment.id}/order", json=ORDER),
            await client.post(f"{ROUTE}/{payment.id}/refund", json={"reason": "no"}),
        )
        assert {one.status_code for one in answers} == {status}


async def test_an_unknown_payment_is_not_found(
    admin: httpx.AsyncClient, db: Database
) -> None:
    answer = await admin.post(f"{ROUTE}/{uuid4()}/order", json=ORDER)
    assert answer.status_code == 404
