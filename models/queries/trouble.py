"""Paid orders that wait for a person: their customers are told, once."""

from datetime import datetime

from sqlmodel import col, select

from models.alerts import Alert
from models.database import Session
from models.jobs import Job
from models.orders import Order
from models.outbox import OutboxMessage
from models.queries.outbox import tell_customer
from models.states import AlertStatus, JobStatus, OrderStatus

LETTER = "order_trouble"


async def tell_customers(session: Session, *, waiting_since: datetime) -> None:
    """Writes to whoever paid and has waited since then for us to decide."""
    told = select(OutboxMessage.subject_id).where(
        OutboxMessage.template == LETTER,
        OutboxMessage.order_id == Order.id,
    )
    found = await session.exec(
        select(Order)
        .join(Job, col(Job.order_id) == col(Order.id))
        .join(Alert, col(Alert.job_id) == col(Job.id))
        .where(
            Job.status == JobStatus.NEEDS_ATTENTION,
            Alert.status != AlertStatus.RESOLVED,
            Alert.created_at < waiting_since,
            Order.status == OrderStatus.FULFILLING,
            ~told.exists(),
        )
        .distinct()
    )
    for order in found.all():
        await tell_customer(session, order, LETTER)
