"""The money of an order: the payment it claims, and what was given back."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4, uuid5

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select

from models.audit import Action
from models.base import utc_now
from models.database import Session
from models.money import Cents, to_decimal
from models.orders import OrderItem
from models.payments import PaymentClaim, PaymentRefund, UnclaimedPayment
from models.queries.alerts import Finding, raise_alert
from models.queries.audit import SYSTEM, By, record
from models.states import RefundStatus, Severity, UnclaimedStatus

FAILED = "refund_failed"


async def claim_of(session: Session, order_id: UUID) -> PaymentClaim | None:
    """The claim of this order, if its payment is proven."""
    return (
        await session.exec(
            select(PaymentClaim).where(PaymentClaim.order_id == order_id)
        )
    ).one_or_none()


async def spoken_for(
    session: Session, payment_ids: Sequence[str], *, order_id: UUID
) -> set[str]:
    """Those of the payments that this order may not have: claimed by an order, or
    decided upon by an operator otherwise."""
    claimed = await session.exec(
        select(PaymentClaim.stripe_payment_intent_id).where(
            col(PaymentClaim.stripe_payment_intent_id).in_(payment_ids)
        )
    )
    known = await session.exec(
        select(
            UnclaimedPayment.stripe_payment_intent_id,
            UnclaimedPayment.status,
            UnclaimedPayment.order_id,
        )
        .where(col(UnclaimedPayment.stripe_payment_intent_id).in_(payment_ids))
        .order_by(col(UnclaimedPayment.id))
        # An operator who is deciding just now is waited for: until then it is listed.
        .with_for_update()
    )
    decided = [
        payment_id
        for payment_id, status, decided_for in known.all()
        if status != UnclaimedStatus.LISTED and decided_for != order_id
    ]
    return {*claimed.all(), *decided}


async def unlist(session: Session, payment_id: str, *, order_id: UUID) -> None:
    """It is claimed: nobody need look at it any more."""
    listed = (
        await session.exec(
            select(UnclaimedPayment)
            .where(
                UnclaimedPayment.stripe_payment_intent_id == payment_id,
                UnclaimedPayment.status == UnclaimedStatus.LISTED,
            )
            .with_for_update()
        )
    ).one_or_none()
    if listed is not None:
        listed.status, listed.order_id = UnclaimedStatus.CLAIMED, order_id


async def refunded(session: Session, order_id: UUID) -> Cents:
    """What was given back line by line."""
    rows = await session.exec(
        select(PaymentRefund.amount).where(
            PaymentRefund.order_id == order_id,
            ~col(PaymentRefund.key).startswith("rest:"),
        )
    )
    return sum(rows.all())


async def unrefunded(session: Session, items: Sequence[OrderItem]) -> list[OrderItem]:
    """Those of the lines whose money is not given back yet."""
    if not items:
        return []
    made = await session.exec(
        select(PaymentRefund.order_item_id).where(
            col(PaymentRefund.order_item_id).in_([item.id for item in items]),
            # A failed one waits for a person, and is not made again by itself.
            PaymentRefund.status != RefundStatus.INTENDED,
        )
    )
    done = set(made.all())
    return [item for item in items if item.id not in done and item.amount > 0]


async def intend(
    session: Session,
    claim: PaymentClaim,
    amount: Cents,
    *,
    key: str,
    item: OrderItem | None = None,
) -> None:
    """The row before Stripe is asked; one per line, one for the rest of an order."""
    await session.exec(
        insert(PaymentRefund)
        .values(
            id=uuid4(),
            created_at=utc_now(),
            tenant_id=claim.tenant_id,
            key=key,
            order_id=claim.order_id,
            order_item_id=item.id if item else None,
            stripe_payment_intent_id=claim.stripe_payment_intent_id,
            amount=amount,
            currency=claim.currency,
            status=RefundStatus.INTENDED,
        )
        .on_conflict_do_nothing()
    )


async def settle(session: Session, order_id: UUID, *, by: By, why: str) -> None:
    """What is decided and not made counts as given back by hand, as `by` says.

    Safe to repeat. Stripe is not asked for it any more.
    """
    found = await session.exec(
        select(PaymentRefund)
        .where(
            PaymentRefund.order_id == order_id,
            PaymentRefund.status == RefundStatus.INTENDED,
        )
        .with_for_update()
    )
    for refund in found.all():
        refund.status = RefundStatus.SETTLED
        await tell(session, refund, Action.REFUND_SETTLED, by=by, why=why)


async def made(
    session: Session,
    refund_id: UUID,
    *,
    stripe_id: str,
    key: str | None,
    amount: Cents,
    failed_as: str | None,
) -> None:
    """Stripe has it. One that is not ours, or less than we owe, is told of: somebody
    gave the rest back in Stripe's dashboard. `failed_as`: its status, if it has failed
    by now. Safe to repeat."""
    refund = await session.get_one(PaymentRefund, refund_id)
    refund.status, refund.stripe_refund_id = RefundStatus.MADE, stripe_id
    ours = amount if key == refund.key else 0
    if ours != refund.amount:
        why = "Stripe had given it back already"
        by_hand = {"byHand": refund.amount - ours}
        adopted = Action.REFUND_ADOPTED
        await tell(session, refund, adopted, by=SYSTEM, why=why, **by_hand)
    if failed_as is not None:
        await failed(session, stripe_id, why=failed_as)


async def tell(
    session: Session,
    refund: PaymentRefund,
    action: Action,
    *,
    by: By,
    why: str,
    **more: Any,
) -> None:
    """The audit log's line about it; one, however often it is told."""
    await record(
        session,
        tenant_id=refund.tenant_id,
        by=by,
        action=action,
        entity="refund",
        entity_id=refund.id,
        reason=why,
        details={
            "orderId": str(refund.order_id) if refund.order_id else None,
            "stripePaymentIntentId": refund.stripe_payment_intent_id,
            "stripeRefundId": refund.stripe_refund_id,
            "amount": refund.amount,
            "currency": refund.currency,
            **more,
        },
        event_id=uuid5(refund.id, str(action)),
    )


async def failed(session: Session, stripe_id: str, *, why: str) -> None:
    """Stripe could not give it back after all: an operator must, by other means.

    Safe to repeat, and for a refund that is not ours.
    """
    found = await session.exec(
        select(PaymentRefund)
        .where(
            PaymentRefund.stripe_refund_id == stripe_id,
            PaymentRefund.status != RefundStatus.FAILED,
        )
        .order_by(col(PaymentRefund.id))
        .with_for_update()
    )
    for refund in found.all():
        await _failed(session, refund, why=why)


async def _failed(session: Session, refund: PaymentRefund, *, why: str) -> None:
    refund.status = RefundStatus.FAILED
    amount, currency = to_decimal(refund.amount), refund.currency.upper()
    of = f"order {refund.order_id}" if refund.order_id else "an unclaimed payment"
    await raise_alert(
        session,
        FAILED,
        Finding(
            tenant_id=refund.tenant_id,
            subject_id=refund.id,
            message=f"the refund of {amount} {currency} for {of} is {why} at Stripe:"
            " its customer does not have the money. Give it back by other means, then"
            " resolve this alert",
            severity=Severity.CRITICAL,
            facts={"refundId": refund.stripe_refund_id},
        ),
    )
