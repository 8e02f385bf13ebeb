"""Everything that is asked of subscriptions."""

from uuid import UUID

from sqlmodel import col, select

from models.database import Session
from models.queries.slices import Slice, Window, by_id, page
from models.states import ServiceStatus
from models.subscriptions import Subscription


async def get(
    session: Session, subscription_id: UUID, *, lock: bool = False
) -> Subscription:
    """The subscription. Raises `NotFound`."""
    return await by_id(session, Subscription, subscription_id, lock=lock)


async def find(
    session: Session,
    window: Window,
    *,
    customer_id: UUID | None = None,
    status: ServiceStatus | None = None,
    product_type: str | None = None,
) -> Slice[Subscription]:
    """Newest first."""
    query = select(Subscription).order_by(
        col(Subscription.created_at).desc(), col(Subscription.id)
    )
    if customer_id is not None:
        query = query.where(Subscription.customer_id == customer_id)
    if status is not None:
        query = query.where(Subscription.status == status)
    if product_type is not None:
        query = query.where(Subscription.product_type == product_type)
    return await page(session, query, window)
