"""Webhooks that came in, unique by their id: stored first, worked through later."""

from datetime import datetime

from sqlmodel import Field

from models.base import Row, moment


class StripeEventReceived(Row, table=True):
    """Only that something happened to an object; the worker fetches the object."""

    __tablename__ = "stripe_events"

    event_id: str = Field(unique=True)
    type: str
    object_id: str = ""
    handled_at: datetime | None = moment(default=None, index=True)
    attempts: int = 0


class WebhookMessage(Row, table=True):
    """Ids of Standard Webhooks messages, so that a replayed one is refused."""

    __tablename__ = "webhook_messages"

    message_id: str = Field(unique=True)
