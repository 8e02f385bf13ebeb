"""A job is found by whatever is at hand."""

from uuid import uuid4

import httpx

from models.base import utc_now
from models.database import Database
from models.inbox import StripeEventReceived
from models.jobs import Job
from models.orders import Order
from models.payments import PaymentRefund, UnclaimedPayment
from models.states import (
    RefundStatus,
    UnclaimedStatus,
)
from models.tenants import MIGRAHOSTING
from models.users import Role
from tests.api import rows
from tests.api.conftest import LogIn
from tests.api.parked import Place, get, made


async def test_a_job_is_found_by_whatever_is_at_hand(
    db: Database, place: Place, log_in: LogIn
) -> None:
    root = await log_in(Role.SUPER_ADMIN)
    placed = await place(
        customerEmail="grace@example.com",
        domain="grace.example",
        stripeCustomerId="cus_grace",
    )
    await place()
    effect = await made(db, placed.website, "site")
    async with db.platform() as session:
        website = await session.get_one(Job, placed.website)
        bought = await session.get_one(Order, placed.order_id)
        bought.stripe_checkout_session_id = "cs_grace"
        bought.stripe_payment_intent_id = "pi_hint"
        session.add(
            PaymentRefund(
                tenant_id=MIGRAHOSTING,
                key="k",
                order_id=placed.order_id,
                stripe_payment_intent_id=placed.payment,
                amount=1,
                currency="usd",
                status=RefundStatus.MADE,
                stripe_refund_id="re_grace",
            )
        )
        session.add(
            StripeEventReceived(
                event_id="evt_grace",
                type="payment_intent.succeeded",
                object_id=placed.payment,
            )
        )
        await session.commit()
    both = {str(placed.root), str(placed.website), str(placed.backups)}
    words = {
        str(placed.order_id): both,
        str(bought.customer_id): both,
        "GRACE@example.com": both,
        "grace.example": both,
        "cus_grace": both,
        "cs_grace": both,
        "pi_hint": both,
        placed.payment: both,
        placed.payment.replace("pi_", "ch_"): both,
        "ch_nobody": set(),
        "re_grace": both,
        "evt_grace": both,
        str(placed.website): {str(placed.website)},
        f"website_provision:{placed.website}": {str(placed.website)},
        f"website_provision:{placed.website}:r2": {str(placed.website)},
        str(website.subject_id): {str(placed.website)},
        str(effect.remote_id): {str(placed.website)},
        effect.reference: {str(placed.website)},
        "nobody@example.com": set(),
        "pi_nobody": set(),
        str(uuid4()): set(),
    }

    found = {
        word: {
            one["job"]["id"]
            for one in (await get(root, "/api/operator/find", q=word))["items"]
        }
        for word in words
    }

    assert found == words


async def test_a_word_that_leads_to_no_job_says_what_leads_on(
    db: Database, place: Place, log_in: LogIn
) -> None:
    root, operator = await log_in(Role.SUPER_ADMIN), await log_in(Role.OPERATOR)
    placed = await place()
    nobodys = UnclaimedPayment(
        stripe_payment_intent_id="pi_nobody",
        amount=1999,
        currency="usd",
        paid_at=utc_now(),
    )
    decided = UnclaimedPayment(
        stripe_payment_intent_id="pi_decided",
        amount=1999,
        currency="usd",
        paid_at=utc_now(),
        status=UnclaimedStatus.REFUNDED,
    )
    await rows.add(db, nobodys, decided)

    async def hint(client: httpx.AsyncClient, word: str) -> str:
        told = await get(client, "/api/operator/find", q=word)
        assert told["items"] == [] or told["hint"] is None
        return str(told["hint"] or "")

    assert "19.99 USD. Make the order or the refund of " in await hint(
        root, "pi_nobody"
    )
    assert str(nobodys.id) in await hint(root, "pi_nobody")
    assert "it is refunded" in await hint(root, "pi_decided")
    assert await hint(operator, "pi_nobody") == "", "payments are the platform's"
    for word in ("ch_1", "py_1", "in_1", "sub_1"):
        assert "payment (pi_...) or customer (cus_...)" in await hint(operator, word)
    for word in ("pi_never", placed.payment, "nobody@example.com"):
        assert await hint(root, word) == ""
