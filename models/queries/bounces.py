"""Mails that came back: noted on the mail and on its customer, until one stays."""

from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlmodel import col, select, update

from models.base import utc_now
from models.customers import Customer
from models.database import Session
from models.outbox import OutboxMessage
from models.queries.alerts import Finding, end, raise_alert
from models.queries.outbox import OPERATOR_CHANNELS
from models.states import OutboxStatus, Severity

CAUSE = "mail_bounced"

_REACHED: Final = text(
    "update customers c set mail_undeliverable = false where c.mail_undeliverable"
    " and exists (select from outbox o where o.customer_id = c.id"
    " and o.channel = 'mail' and o.status = 'sent' and o.recipient = c.email"
    " and o.sent_at <= :before and o.sent_at > all (select b.bounced_at from outbox b"
    " where b.customer_id = c.id and b.status = 'bounced' and b.recipient = c.email))"
    " returning c.id"
)


async def bounced(session: Session, message_id: UUID, *, code: str, words: str) -> bool:
    """This mail is not taken, for good. False: unknown, or it came back before.

    The customer is marked if it is still their address, and an operator told, once
    while that alert is open.
    """
    message = (
        await session.exec(
            select(OutboxMessage)
            .where(OutboxMessage.id == message_id, OutboxMessage.channel == "mail")
            .with_for_update()
        )
    ).one_or_none()
    if message is None or message.status == OutboxStatus.BOUNCED:
        return False
    message.status, message.bounced_at = OutboxStatus.BOUNCED, utc_now()
    message.bounce_code, message.last_error = code, words
    await session.flush()
    if message.customer_id is None:
        await raise_alert(session, CAUSE, _operators(message, code))
        return True
    marked = await session.exec(
        update(Customer)
        .where(
            col(Customer.id) == message.customer_id,
            col(Customer.email) == message.recipient,
        )
        .values(mail_undeliverable=True)
    )
    if not marked.rowcount:
        return True
    await raise_alert(
        session,
        CAUSE,
        Finding(
            tenant_id=message.tenant_id,
            subject_id=message.customer_id,
            message=f"the {message.template} mail of order {message.order_id} came"
            f" back ({code}): its customer cannot be reached at this address",
            facts={"orderId": str(message.order_id)},
        ),
    )
    return True


async def end_for_reached(session: Session, *, sent_before: datetime) -> int:
    """Unmarks whoever has kept a mail that was sent after the last one came back, and
    ends the alert about them; how many. Wants the platform's session.

    `sent_before`: later mails may still come back.
    """
    connection = await session.connection()
    reached = await connection.execute(_REACHED, {"before": sent_before})
    found = reached.scalars().all()
    for customer_id in found:
        await end(session, CAUSE, customer_id)
    return len(found)


def _operators(message: OutboxMessage, code: str) -> Finding:
    """One alert for all of them: its own mail comes back, too."""
    return Finding(
        tenant_id=message.tenant_id,
        subject_id=OPERATOR_CHANNELS["mail"],
        message=f"a mail to the operators came back ({code})",
        severity=Severity.CRITICAL,
    )
