"""What people and programs are told, written in the transaction it tells of."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select, update

from models.base import utc_now
from models.database import Session
from models.orders import Order
from models.outbox import OutboxMessage
from models.states import OutboxStatus
from models.tenants import MIGRAHOSTING

# Whom these stand for is a setting of the relay, not of the row.
OPERATOR = "operator"
# What alerts about sending to them are about.
OPERATOR_CHANNELS = {
    channel: uuid5(MIGRAHOSTING, f"operator:{channel}")
    for channel in ("mail", "webhook")
}
# So many at a time: a slow recipient leaves room for the others.
PER_RECIPIENT = 4

# One statement: it is written in the transactions of steps.
_TELL_CUSTOMER = text(
    "insert into outbox (id, created_at, tenant_id, channel, recipient, template,"
    " subject_id, facts, status, attempts, next_at, critical, order_id, customer_id)"
    " select :id, :now, c.tenant_id, 'mail', c.email, :template, :subject, '{}',"
    " 'queued', 0, :now, false, :order, c.id from customers c where c.id = :customer"
    " on conflict do nothing"
)


async def tell(
    session: Session,
    *,
    tenant_id: UUID,
    channel: str,
    recipient: str,
    template: str,
    subject_id: UUID,
    facts: Mapping[str, Any],
    alert_id: UUID | None = None,
    critical: bool = False,
    silently: bool = False,
) -> bool:
    """Queues one message; told once per (channel, recipient, template, subject).

    Its id is made of these: told anew after a restored backup, it is the same mail to
    whoever received it. `silently`: kept, and not sent. False: it was told before.
    """
    status = OutboxStatus.QUEUED
    if (channel, recipient) == ("mail", OPERATOR):
        status = OutboxStatus.HELD
    written = await session.exec(
        insert(OutboxMessage)
        .values(
            id=uuid5(subject_id, f"{channel}:{recipient}:{template}"),
            created_at=utc_now(),
            tenant_id=tenant_id,
            channel=channel,
            recipient=recipient,
            template=template,
            subject_id=subject_id,
            facts=dict(facts),
            status=OutboxStatus.SILENCED if silently else status,
            attempts=0,
            next_at=utc_now(),
            alert_id=alert_id,
            critical=critical,
        )
        .on_conflict_do_nothing()
        .returning(col(OutboxMessage.id))
    )
    return written.scalar_one_or_none() is not None


async def tell_customer(
    session: Session, order: Order, template: str, *, about: UUID | None = None
) -> None:
    """A mail about an order to whoever placed it, once; `about` one thing of it."""
    subject_id = about or order.id
    connection = await session.connection()
    await connection.execute(
        _TELL_CUSTOMER,
        {
            "id": uuid5(subject_id, f"mail:{order.customer_id}:{template}"),
            "now": utc_now(),
            "template": template,
            "subject": subject_id,
            "order": order.id,
            "customer": order.customer_id,
        },
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


async def claim(
    session: Session,
    channel: str,
    *,
    room: Mapping[str, int],
    most: int,
    lease: timedelta,
) -> list[OutboxMessage]:
    """Messages that are due, for this process alone until the lease is over.

    `room`: how many more may go to recipients that are being sent to; `most` to any
    one, and in all.
    """
    now = utc_now()
    full = [recipient for recipient, left in room.items() if left <= 0]
    found = await session.exec(
        select(OutboxMessage.id, OutboxMessage.recipient)
        .where(
            OutboxMessage.status == OutboxStatus.QUEUED,
            OutboxMessage.channel == channel,
            OutboxMessage.next_at <= now,
            col(OutboxMessage.recipient).not_in(full),
        )
        .order_by(col(OutboxMessage.next_at))
        .limit(50)
        .with_for_update(skip_locked=True)
    )
    left = Counter(dict(room))
    chosen: list[UUID] = []
    for message_id, recipient in found.all():
        if left.setdefault(recipient, PER_RECIPIENT) > 0 and len(chosen) < most:
            left[recipient] -= 1
            chosen.append(message_id)
    if not chosen:
        return []
    taken = await session.exec(
        update(OutboxMessage)
        .where(col(OutboxMessage.id).in_(chosen))
        .values(attempts=col(OutboxMessage.attempts) + 1, next_at=now + lease)
        .returning(OutboxMessage)
    )
    return list(taken.scalars())


async def settle(
    session: Session, message: OutboxMessage, status: OutboxStatus, **values: Any
) -> bool:
    """What became of a try. Only the first `sent` of a message counts, and nothing of
    a try whose lease was lost to a later one. False: it does not count."""
    mine = col(OutboxMessage.status) == OutboxStatus.QUEUED
    if status is not OutboxStatus.SENT:
        mine &= col(OutboxMessage.attempts) == message.attempts
    settled = await session.exec(
        update(OutboxMessage)
        .where(col(OutboxMessage.id) == message.id, mine)
        .values(status=status, **values)
    )
    return bool(settled.rowcount)


async def rest(
    session: Session, channel: str, recipient: str, *, until: datetime
) -> None:
    """They asked to be left alone for a while: nothing is due to them before."""
    await session.exec(
        update(OutboxMessage)
        .where(
            col(OutboxMessage.status) == OutboxStatus.QUEUED,
            col(OutboxMessage.channel) == channel,
            col(OutboxMessage.recipient) == recipient,
            col(OutboxMessage.next_at) < until,
        )
        .values(next_at=until)
    )


async def heard_since(session: Session, channel: str, since: datetime) -> bool:
    """Whether anything has arrived on this channel since."""
    found = await session.exec(
        select(OutboxMessage.id)
        .where(
            OutboxMessage.channel == channel,
            OutboxMessage.status == OutboxStatus.SENT,
            col(OutboxMessage.sent_at) > since,
        )
        .limit(1)
    )
    return found.first() is not None
