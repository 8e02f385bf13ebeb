"""Mails and signed webhooks to send: written in the transaction they tell of."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint, text

from models.base import TenantRow, document, moment, utc_now, word
from models.states import OutboxStatus


class OutboxMessage(TenantRow, table=True):
    """Unique per (channel, recipient, template, subject): told once, however often
    the step that tells it runs."""

    __tablename__ = "outbox"
    __table_args__ = (
        UniqueConstraint("channel", "recipient", "template", "subject_id"),
        Index("outbox_due", "next_at", postgresql_where=text("status = 'queued'")),
    )

    channel: str
    recipient: str
    template: str
    subject_id: UUID
    facts: dict[str, Any] = document(default_factory=dict)
    status: OutboxStatus = word(default=OutboxStatus.QUEUED)
    attempts: int = 0
    next_at: datetime = moment(default_factory=utc_now)
    sent_at: datetime | None = moment(default=None)
    last_error: str | None = None
