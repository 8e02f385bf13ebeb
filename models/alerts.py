"""What an operator should know now. One open alert per cause and subject."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, text
from sqlmodel import Field

from models.base import TenantRow, moment, utc_now, word
from models.errors import WrongState
from models.states import AlertStatus, Severity


class Alert(TenantRow, table=True):
    """`count`: how often it happened since it was raised, or how many it concerns.

    `resolved_by` is empty where the alert ended by itself, with its condition.
    """

    __tablename__ = "alerts"
    __table_args__ = (
        Index(
            "one_open_alert",
            "cause",
            "subject_id",
            unique=True,
            postgresql_where=text("status <> 'resolved'"),
        ),
        Index("alerts_of_tenant", "tenant_id", text("created_at desc")),
    )

    cause: str
    subject_id: UUID
    severity: Severity = word(default=Severity.WARNING)
    message: str
    status: AlertStatus = word(default=AlertStatus.OPEN, index=True)
    job_id: UUID | None = Field(default=None, index=True)
    count: int = 1
    last_seen_at: datetime = moment(default_factory=utc_now)
    acknowledged_by: str | None = None
    acknowledged_at: datetime | None = moment(default=None)
    note: str = ""
    resolved_at: datetime | None = moment(default=None)
    resolved_by: str | None = None
    resolution: str = ""

    def acknowledge(self, author: str, note: str) -> None:
        """Somebody has it in hand: nobody is told of it again while it is open.

        Raises `WrongState` if it is over.
        """
        self._open_still()
        self.status, self.acknowledged_by = AlertStatus.ACKNOWLEDGED, author
        self.acknowledged_at, self.note = utc_now(), note

    def resolve(self, author: str, reason: str) -> None:
        """Over because somebody says so. Raises `WrongState` if it is over already."""
        self._open_still()
        self.status, self.resolved_at = AlertStatus.RESOLVED, utc_now()
        self.resolved_by, self.resolution = author, reason

    def _open_still(self) -> None:
        if self.status == AlertStatus.RESOLVED:
            raise WrongState("the alert is resolved", status=str(self.status))
