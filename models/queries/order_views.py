"""An order with everything that hangs on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlmodel import col, select

from models.customers import Customer
from models.database import Session
from models.jobs import Job
from models.orders import Order, OrderItem
from models.payments import PaymentClaim, PaymentRefund
from models.queries.slices import by_id


@dataclass(frozen=True)
class OrderView:
    """`jobs`: the root first, then those of the lines."""

    order: Order
    items: Sequence[OrderItem]
    claim: PaymentClaim | None
    refunds: Sequence[PaymentRefund]
    jobs: Sequence[Job]
    customer: Customer


async def get(session: Session, order_id: UUID) -> OrderView:
    """The order as a whole. Raises `NotFound`."""
    order = await by_id(session, Order, order_id)
    items = await session.exec(
        select(OrderItem)
        .where(OrderItem.order_id == order_id)
        .order_by(col(OrderItem.position))
    )
    claim = await session.exec(
        select(PaymentClaim).where(PaymentClaim.order_id == order_id)
    )
    refunds = await session.exec(
        select(PaymentRefund)
        .where(PaymentRefund.order_id == order_id)
        .order_by(col(PaymentRefund.created_at))
    )
    jobs = await session.exec(
        select(Job)
        .where((Job.order_id == order_id) | (Job.subject_id == order_id))
        .order_by(col(Job.parent_id).is_not(None), col(Job.created_at), col(Job.id))
    )
    customer = await session.get_one(Customer, order.customer_id)
    return OrderView(
        order, items.all(), claim.one_or_none(), refunds.all(), jobs.all(), customer
    )
