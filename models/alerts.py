"""What an operator should know now. One open alert per cause and subject."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, text
from sqlmodel import Field

from models.base import TenantRow, moment, word
from models.states import AlertStatus


class Alert(TenantRow, table=True):
    __tablename__ = "alerts"
    __table_args__ = (
        Index(
            "one_open_alert",
            "cause",
            "subject_id",
            unique=True,
            postgresql_where=text("status <> 'resolved'"),
        ),
    )

    cause: str
    subject_id: UUID
    severity: str = "warning"
    message: str
    status: AlertStatus = word(default=AlertStatus.OPEN, index=True)
    job_id: UUID | None = Field(default=None, index=True)
    resolved_at: datetime | None = moment(default=None)
