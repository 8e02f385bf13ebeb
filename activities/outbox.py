"""What people and programs are told, written in the transaction it tells of."""

from typing import Any
from uuid import UUID, uuid5

from sqlalchemy.dialects.postgresql import insert

from models.base import utc_now
from models.customers import Customer
from models.database import Session
from models.orders import Order
from models.outbox import OutboxMessage
from models.states import OutboxStatus

# Whom these stand for is a setting of the relay, not of the row.
OPERATOR = "operator"


async def tell(
    session: Session,
    *,
    tenant_id: UUID,
    channel: str,
    recipient: str,
    template: str,
    subject_id: UUID,
    facts: dict[str, Any],
) -> None:
    """Queues one message; told once per (channel, recipient, template, subject).

    Its id is made of these: told anew after a restored backup, it is the same mail to
    whoever received it.
    """
    await session.exec(
        insert(OutboxMessage)
        .values(
            id=uuid5(subject_id, f"{channel}:{recipient}:{template}"),
            created_at=utc_now(),
            tenant_id=tenant_id,
            channel=channel,
            recipient=recipient,
            template=template,
            subject_id=subject_id,
            facts=facts,
            status=OutboxStatus.QUEUED,
            attempts=0,
            next_at=utc_now(),
        )
        .on_conflict_do_nothing()
    )


async def tell_customer(session: Session, order: Order, template: str) -> None:
    """A mail about an order to whoever placed it."""
    customer = await session.get_one(Customer, order.customer_id)
    await tell(
        session,
        tenant_id=order.tenant_id,
        channel="mail",
        recipient=customer.email,
        template=template,
        subject_id=order.id,
        facts={"order_id": str(order.id)},
    )


async def tell_webhook(session: Session, order: Order) -> None:
    """A signed event about an order to the operator's endpoint."""
    await tell(
        session,
        tenant_id=order.tenant_id,
        channel="webhook",
        recipient=OPERATOR,
        template=f"order.{order.status}",
        subject_id=order.id,
        facts={"orderId": str(order.id), "status": str(order.status)},
    )
