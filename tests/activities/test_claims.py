"""A payment goes one way: to an order, or wherever an operator has decided."""

import asyncio
from datetime import datetime
from uuid import uuid4

import pytest
from sqlmodel import select

from activities.calls import StepCall
from activities.errors import NotYet
from activities.orders import OrderActivities
from activities.payments import Payment
from activities.store import Store
from models.base import utc_now
from models.database import Database
from models.jobs import Job
from models.orders import Order
from models.payments import PaymentClaim, UnclaimedPayment
from models.queries import payments
from models.states import JobKind, OrderStatus, UnclaimedStatus
from models.tenants import MIGRAHOSTING
from tests.api import rows

PAID = Payment(
    id="pi_1",
    customer_id="cus_1",
    amount=4999,
    amount_received=4999,
    currency="usd",
    status="succeeded",
    created_at=utc_now(),
    order_reference=None,
    amount_refunded=0,
    disputed=False,
    invoice_id=None,
    charge_id="ch_1",
)


class Account:
    """Somebody has paid once."""

    async def payment(self, payment_intent_id: str) -> Payment | None:
        return PAID if payment_intent_id == PAID.id else None

    async def payments_of(
        self, stripe_customer_id: str, *, since: datetime
    ) -> list[Payment]:
        return [PAID]

    async def session_payment(self, checkout_session_id: str) -> str | None:
        return None


@pytest.fixture
async def listed(db: Database) -> UnclaimedPayment:
    """The payment, while nobody's order has come."""
    row = UnclaimedPayment(
        stripe_payment_intent_id=PAID.id,
        stripe_customer_id=PAID.customer_id,
        amount=PAID.amount,
        currency=PAID.currency,
        paid_at=PAID.created_at,
    )
    await rows.add(db, row)
    return row


async def late_order(db: Database) -> tuple[Order, Job]:
    """That it was for."""
    buyer, bought = rows.customer(), rows.product()
    order, _ = rows.order(buyer, bought)
    order.status, order.stripe_customer_id = OrderStatus.AWAITING_PAYMENT, "cus_1"
    job = rows.job(subject_id=order.id, kind=JobKind.FULFIL_ORDER, order_id=order.id)
    await rows.add(db, buyer, bought, order, job)
    return order, job


async def test_an_operator_who_is_just_giving_it_back_is_waited_for(
    db: Database, listed: UnclaimedPayment
) -> None:
    order, job = await late_order(db)
    prove = OrderActivities(Store(db), Account()).prove_payment
    call = StepCall(job.id, MIGRAHOSTING, order.id, 1, "prove_payment", 60.0)
    async with db.platform() as operators, asyncio.timeout(60):
        held = await payments.hold_unclaimed(operators, listed.id)
        held.status, held.decided_by = UnclaimedStatus.REFUNDED, uuid4()
        await operators.flush()
        proving = asyncio.create_task(prove(call))
        await rows.waited_for(db)
        await operators.commit()

        with pytest.raises(NotYet):
            await proving

    async with db.platform() as session:
        assert (await session.exec(select(PaymentClaim))).all() == []
        assert (await session.get_one(Order, order.id)).status == (
            OrderStatus.AWAITING_PAYMENT
        )
