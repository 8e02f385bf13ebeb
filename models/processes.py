"""Who is at work, and what it sees. A process that is gone leaves a stale row."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import UniqueConstraint
from sqlmodel import Field

from models.base import Row, document, moment, utc_now, word
from models.states import Health


class WorkerProcess(Row, table=True):
    """One worker process, from its start on. `queues`: those that it serves."""

    __tablename__ = "worker_processes"

    host: str
    pid: int
    version: str
    queues: list[str] = document(default_factory=list)
    seen_at: datetime = moment(default_factory=utc_now, index=True)


class ComponentReport(Row, table=True):
    """What one process saw of one component the last time it looked."""

    __tablename__ = "component_reports"
    __table_args__ = (
        UniqueConstraint("process_id", "component", name="one_report_per_process"),
    )

    process_id: UUID = Field(
        foreign_key="worker_processes.id", ondelete="CASCADE", nullable=False
    )
    component: str
    status: Health = word()
    detail: str = ""
    checked_at: datetime = moment(default_factory=utc_now)
