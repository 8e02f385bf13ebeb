"""Mails and signed webhooks to send: written in the transaction they tell of."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint, text

from models.base import TenantRow, document, moment, utc_now, word
from models.states import OutboxStatus


class OutboxMessage(TenantRow, table=True):
    """Unique per (channel, recipient, template, subject): told once, however often
    the step that tells it runs.

    `attempts` counts begun ones. While one is under way, `next_at` is when it counts
    as lost. `folded_into`: the digest that has it as a line.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        UniqueConstraint("channel", "recipient", "template", "subject_id"),
        Index("outbox_due", "next_at", postgresql_where=text("status = 'queued'")),
        Index("outbox_held", "created_at", postgresql_where=text("status = 'held'")),
        Index(
            "outbox_of_order", "order_id", postgresql_where=text("order_id is not null")
        ),
        Index(
            "outbox_of_customer",
            "customer_id",
            postgresql_where=text("customer_id is not null"),
        ),
        Index(
            "outbox_of_digest",
            "folded_into",
            postgresql_where=text("folded_into is not null"),
        ),
        Index(
            "outbox_released",
            "released_at",
            postgresql_where=text("released_at is not null"),
        ),
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
    order_id: UUID | None = None
    customer_id: UUID | None = None
    alert_id: UUID | None = None
    critical: bool = False
    released_at: datetime | None = moment(default=None)
    folded_into: UUID | None = None
    bounced_at: datetime | None = moment(default=None)
    bounce_code: str | None = None
