"""Mails that came back: noted on the mail and on its customer."""

from uuid import UUID

from sqlmodel import col, select, update

from models.base import utc_now
from models.customers import Customer
from models.database import Session
from models.outbox import OutboxMessage
from models.queries.alerts import Finding, raise_alert
from models.queries.outbox import OPERATOR_CHANNELS
from models.states import OutboxStatus, Severity

CAUSE = "mail_bounced"


async def bounced(session: Session, message_id: UUID, *, code: str, words: str) -> bool:
    """This mail is not taken, for good. False: unknown, or it came back before.

    The customer is marked, and an operator told, once while that alert is open.
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
    await session.exec(
        update(Customer)
        .where(col(Customer.id) == message.customer_id)
        .values(mail_undeliverable=True)
    )
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


def _operators(message: OutboxMessage, code: str) -> Finding:
    """One alert for all of them: its own mail comes back, too."""
    return Finding(
        tenant_id=message.tenant_id,
        subject_id=OPERATOR_CHANNELS["mail"],
        message=f"a mail to the operators came back ({code})",
        severity=Severity.CRITICAL,
    )
