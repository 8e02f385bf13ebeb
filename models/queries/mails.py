"""What was sent to whom, and what became of it."""

from uuid import UUID

from sqlmodel import col, select

from models.database import Session
from models.outbox import OutboxMessage
from models.queries.slices import Slice, Window, page
from models.states import OutboxStatus


async def find(
    session: Session,
    window: Window,
    *,
    order_id: UUID | None = None,
    customer_id: UUID | None = None,
    status: OutboxStatus | None = None,
) -> Slice[OutboxMessage]:
    """Mails, newest first; of an order, of a customer, in a state."""
    query = (
        select(OutboxMessage)
        .where(OutboxMessage.channel == "mail")
        .order_by(col(OutboxMessage.created_at).desc(), col(OutboxMessage.id))
    )
    if order_id is not None:
        query = query.where(OutboxMessage.order_id == order_id)
    if customer_id is not None:
        query = query.where(OutboxMessage.customer_id == customer_id)
    if status is not None:
        query = query.where(OutboxMessage.status == status)
    return await page(session, query, window)
