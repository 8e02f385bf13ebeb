"""Backup plans (one per website that has the add-on) and the archives they made."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import UniqueConstraint
from sqlmodel import Field

from models.base import TenantRow, moment, moved, word
from models.states import SERVICE_MOVES, BackupStatus, ServiceStatus


class BackupPlan(TenantRow, table=True):
    """Daily archives of one website, kept `days` days. One Temporal Schedule each."""

    __tablename__ = "backup_plans"

    customer_id: UUID = Field(foreign_key="customers.id", index=True)
    subscription_id: UUID = Field(foreign_key="subscriptions.id")
    website_id: UUID | None = Field(default=None, unique=True)
    days: int = 30
    status: ServiceStatus = word(default=ServiceStatus.PENDING)

    def _move(self, to: ServiceStatus) -> None:
        now = ServiceStatus(self.status)
        self.status = moved("The backup plan", now, to, SERVICE_MOVES)

    def activate(self) -> None:
        self._move(ServiceStatus.ACTIVE)

    def fail(self) -> None:
        self._move(ServiceStatus.FAILED)

    def terminate(self) -> None:
        self._move(ServiceStatus.TERMINATED)


class Backup(TenantRow, table=True):
    """One archive: its name at the store, its sums, the key version that opens it."""

    __tablename__ = "backups"
    __table_args__ = (UniqueConstraint("job_id"),)

    website_id: UUID = Field(index=True)
    job_id: UUID
    archive: str = Field(unique=True)
    status: BackupStatus = word(default=BackupStatus.RUNNING, index=True)
    size: int = 0
    sha256: str = ""
    content_sha256: str = ""
    key_version: str = ""
    stored_at: datetime | None = moment(default=None)
    expires_at: datetime | None = moment(default=None)
