"""Stripe's events, and what an operator makes of a payment that nobody claimed."""

from uuid import UUID, uuid4

from temporalio.client import Client

from api.auth.actor import Actor
from api.services.starting import start_soon
from models.audit import Action
from models.database import Session, asking
from models.errors import Invalid, WrongState
from models.jobs import Job
from models.ordering import Line, OrderRequest, Placed, RepeatKey
from models.orders import Order
from models.payments import PaymentRefund, UnclaimedPayment
from models.queries import audit, orders, payments
from models.states import UnclaimedStatus
from models.tenants import MIGRAHOSTING

SOURCE = "operator"


async def keep_event(
    session: Session, event_id: str, *, type_: str, object_id: str
) -> None:
    """Keeps that something happened to an object, once per event."""
    await payments.keep_event(session, event_id, type_=type_, object_id=object_id)
    await session.commit()


async def order_for(
    session: Session,
    temporal: Client,
    actor: Actor,
    payment_id: UUID,
    *,
    email: str,
    lines: tuple[Line, ...],
    platform_domain: str,
) -> Placed:
    """Places the order that this payment was for, and accepts the payment for it.

    Raises `NotFound`, `WrongState` (decided or claimed already), and `Invalid` if the
    items come to another amount than was paid.
    """
    payment = await _listed(session, payment_id)
    request = OrderRequest(
        source=SOURCE,
        email=email,
        lines=lines,
        stripe_customer_id=payment.stripe_customer_id,
        stripe_payment_intent_id=payment.stripe_payment_intent_id,
    )
    placed = await orders.place(
        asking(session),
        MIGRAHOSTING,
        request,
        # The payment's row is held: what comes again finds it decided, or listed anew.
        key=RepeatKey(f"unclaimed:{payment.stripe_payment_intent_id}:{uuid4()}"),
        platform_domain=platform_domain,
        accepted_payment=payment.stripe_payment_intent_id,
    )
    order = await session.get_one(Order, placed.order_id)
    job = await session.get_one(Job, placed.job_id)
    paid = (payment.amount, payment.currency.upper())
    if (order.total, order.currency.upper()) != paid:
        raise Invalid(
            "items",
            f"the items come to {order.total} {order.currency.upper()}, paid were"
            f" {payment.amount} {payment.currency.upper()} (minor units)",
        )
    payment.status, payment.order_id = UnclaimedStatus.ORDERED, placed.order_id
    payment.decided_by = actor.id
    await _record(session, actor, payment, Action.PAYMENT_ORDERED)
    await session.commit()
    start_soon(temporal, job)
    return placed


async def refund(
    session: Session, actor: Actor, payment_id: UUID, *, reason: str
) -> UnclaimedPayment:
    """Has the whole payment refunded by the worker. Raises as `order_for`, and
    `StepUpRequired`."""
    payment = await _listed(session, payment_id)
    actor.prove_fresh("a refund")
    session.add(
        PaymentRefund(
            tenant_id=MIGRAHOSTING,
            key=f"unclaimed:{payment.stripe_payment_intent_id}",
            stripe_payment_intent_id=payment.stripe_payment_intent_id,
            amount=payment.amount,
            currency=payment.currency.lower(),
        )
    )
    payment.status, payment.note = UnclaimedStatus.REFUNDED, reason
    payment.decided_by = actor.id
    await _record(session, actor, payment, Action.PAYMENT_REFUNDED, reason=reason)
    await payments.wake(session)
    await session.commit()
    return payment


async def _record(
    session: Session,
    actor: Actor,
    payment: UnclaimedPayment,
    action: Action,
    *,
    reason: str = "",
) -> None:
    await audit.record(
        session,
        tenant_id=MIGRAHOSTING,
        by=actor.by,
        action=action,
        entity="payment",
        entity_id=payment.id,
        reason=reason,
        details={
            "stripePaymentIntentId": payment.stripe_payment_intent_id,
            "amount": payment.amount,
            "currency": payment.currency,
            "orderId": str(payment.order_id) if payment.order_id else None,
        },
    )


async def _listed(session: Session, payment_id: UUID) -> UnclaimedPayment:
    payment = await payments.hold_unclaimed(session, payment_id)
    if payment.status != UnclaimedStatus.LISTED:
        raise WrongState(
            f"the payment is {payment.status} already", status=str(payment.status)
        )
    claim = await payments.claim_on(session, payment.stripe_payment_intent_id)
    if claim is not None:
        raise WrongState(
            "an order has claimed the payment meanwhile", order_id=str(claim.order_id)
        )
    return payment
