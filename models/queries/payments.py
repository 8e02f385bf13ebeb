"""Stripe's events as they came in, and the payments that nobody claimed."""

from uuid import UUID, uuid4

from sqlalchemy import text
from sqlmodel import col, select

from models.base import utc_now
from models.database import Session
from models.errors import NotFound
from models.payments import PaymentClaim, UnclaimedPayment
from models.queries.slices import Slice, Window, page
from models.states import UnclaimedStatus

_KEEP = text(
    "insert into stripe_events (id, created_at, event_id, type, object_id, attempts)"
    " values (:id, :now, :event, :type, :object, 0) on conflict (event_id) do nothing"
)
_WAKE = text("select pg_notify('mpanel', 'stripe')")


async def keep_event(
    session: Session, event_id: str, *, type_: str, object_id: str
) -> None:
    """Stores an event once, and wakes the worker if it is new."""
    connection = await session.connection()
    kept = await connection.execute(
        _KEEP,
        {
            "id": uuid4(),
            "now": utc_now(),
            "event": event_id,
            "type": type_,
            "object": object_id,
        },
    )
    if kept.rowcount:
        await wake(session)


async def wake(session: Session) -> None:
    """Tells the worker, when this transaction commits, to look at payments."""
    await (await session.connection()).execute(_WAKE)


async def unclaimed(
    session: Session, window: Window, *, status: UnclaimedStatus
) -> Slice[UnclaimedPayment]:
    """Those in this state, oldest payment first."""
    query = (
        select(UnclaimedPayment)
        .where(UnclaimedPayment.status == status)
        .order_by(col(UnclaimedPayment.paid_at), col(UnclaimedPayment.id))
    )
    return await page(session, query, window)


async def unclaimed_by(
    session: Session, payment_intent_id: str
) -> UnclaimedPayment | None:
    """The payment, if it was ever listed as nobody's."""
    return (
        await session.exec(
            select(UnclaimedPayment).where(
                UnclaimedPayment.stripe_payment_intent_id == payment_intent_id
            )
        )
    ).one_or_none()


async def hold_unclaimed(session: Session, payment_id: UUID) -> UnclaimedPayment:
    """The payment, locked until the transaction ends. Raises `NotFound`."""
    found = (
        await session.exec(
            select(UnclaimedPayment)
            .where(UnclaimedPayment.id == payment_id)
            .with_for_update()
        )
    ).one_or_none()
    if found is None:
        raise NotFound(f"there is no unclaimed payment {payment_id}")
    return found


async def claim_on(session: Session, payment_intent_id: str) -> PaymentClaim | None:
    """The order's claim on a payment, if an order has it."""
    return (
        await session.exec(
            select(PaymentClaim).where(
                PaymentClaim.stripe_payment_intent_id == payment_intent_id
            )
        )
    ).one_or_none()
