"""Holds our rows against Temporal: runs that ended or vanished, lines that got lost."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy.orm import aliased
from sqlmodel import col, or_, select
from temporalio.api.enums.v1 import EventType
from temporalio.api.enums.v1 import PendingActivityState as Pending
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import (
    Client,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
)
from temporalio.service import RPCError, RPCStatusCode

from activities.errors import redacted
from models.base import utc_now
from models.database import Database
from models.jobs import Job
from models.queries import jobs
from models.queries.alerts import raise_for_job
from models.states import (
    OPEN_JOBS,
    JobStatus,
    Reason,
    StepStatus,
)
from workers.progress import StepLine, write
from workers.stalls import note, stall_of
from workers.trouble import NOT_YET

_log = structlog.get_logger(__name__)
_AT_ONCE = 10
# A run that closed this recently may have its last transaction still on its way.
_GRACE = timedelta(seconds=5)
_CLOSED: Final = {
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT,
}


class Reconciler:
    """One round looks at every open job that was not looked at for `every`."""

    def __init__(self, db: Database, client: Client, *, every: timedelta) -> None:
        self._db, self._client, self._every = db, client, every
        # How long each run's history was; a parked job's is not read again.
        self._lengths: dict[UUID, int] = {}

    async def round(self) -> None:
        """Open jobs against their runs; ended jobs against their history, once."""
        now = utc_now()
        root = aliased(Job)
        async with self._db.looking() as session:
            still_open = await session.exec(
                select(Job)
                .outerjoin(root, col(root.id) == col(Job.parent_id))
                .where(
                    col(Job.status).in_(OPEN_JOBS),
                    or_(
                        Job.started_generation == Job.generation,
                        # A released child may have a run that never made a step.
                        (col(Job.status) == JobStatus.WAITING)
                        & (col(root.status) == JobStatus.RUNNING),
                    ),
                    or_(
                        col(Job.reconciled_at).is_(None),
                        col(Job.reconciled_at) < now - self._every,
                    ),
                    Job.updated_at < now - _GRACE,
                )
                .order_by(col(Job.reconciled_at).asc().nulls_first())
                .limit(200)
            )
            # Once more after the end, when every line has been written.
            just_ended = await session.exec(
                select(Job)
                .where(
                    col(Job.timeline_final).is_(False),
                    col(Job.ended_at) < now - self._every,
                )
                .order_by(col(Job.ended_at))
                .limit(200)
            )
            due, over = still_open.all(), just_ended.all()
        limit = asyncio.Semaphore(_AT_ONCE)
        written: list[Job] = []

        async def read(job: Job) -> None:
            if await self._read_to_its_end(job):
                written.append(job)
            else:
                await self.reconcile(job)

        async def one(job: Job, work: Callable[[Job], Awaitable[None]]) -> None:
            async with limit:
                try:
                    await work(job)
                except Exception as error:  # noqa: BLE001 - it holds up no other
                    told = redacted(f"{type(error).__name__}: {error}")
                    _log.warning("reconcile_failed", job=str(job.id), error=told)

        await asyncio.gather(
            *(one(job, self.reconcile) for job in due),
            *(one(job, read) for job in over),
        )
        if written:
            async with self._db.platform() as session:
                await jobs.close(session, written)
                await session.commit()

    async def _read_to_its_end(self, job: Job) -> bool:
        """The timeline of a run that has closed, by a single call."""
        try:
            history = await self._client.get_workflow_handle(
                job.workflow_id
            ).fetch_history()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return False
        self._lengths.pop(job.id, None)
        await write(self._db, timeline(job, history.events))
        return history.events[-1].event_type in _CLOSED

    async def reconcile(self, job: Job) -> None:
        """One job. Its timeline is rebuilt from the run's history."""
        handle = self._client.get_workflow_handle(job.workflow_id)
        try:
            run = await handle.describe(rpc_timeout=timedelta(seconds=10))
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            if job.status in OPEN_JOBS and job.status != JobStatus.WAITING:
                await self._flag(
                    job, Reason.RUN_LOST, "its run is not known to Temporal any more"
                )
            else:
                await self._seen(job)
            return
        pending = run.raw_description.pending_activities
        if pending or self._lengths.get(job.id) != run.history_length:
            history = await self._client.get_workflow_handle(
                job.workflow_id, run_id=run.run_id
            ).fetch_history()
            await write(self._db, timeline(job, history.events, pending))
            self._lengths[job.id] = run.history_length
        if run.status is not WorkflowExecutionStatus.RUNNING:
            self._lengths.pop(job.id, None)
            if job.status in OPEN_JOBS:
                word = run.status.name.lower() if run.status else "gone"
                await self._flag(
                    job, Reason.RUN_ENDED_OUTSIDE, f"its run was ended: {word}"
                )
                return
        else:
            await self._watch(job, run, pending)
        await self._seen(job)

    async def _flag(self, job: Job, reason: Reason, message: str) -> None:
        async with self._db.platform() as session:
            row = await jobs.get(session, job.id, lock=True)
            row.reconciled_at = utc_now()
            same = row.generation == job.generation and row.status in OPEN_JOBS
            if same and row.reason != reason:
                row.status, row.reason = JobStatus.NEEDS_ATTENTION, reason
                row.message, row.updated_at = message, utc_now()
                row.blame()
                row.started_generation = row.generation
                await raise_for_job(
                    session,
                    row,
                    cause=str(reason),
                    message=f"{row.kind}: {message}",
                    occasion=f"{row.generation}:{reason}",
                )
            await session.commit()

    async def _watch(
        self,
        job: Job,
        run: WorkflowExecutionDescription,
        pending: Iterable[PendingActivityInfo],
    ) -> None:
        """A run may look healthy to Temporal and stand still all the same."""
        stall = stall_of(run, pending)
        async with self._db.platform() as session:
            row = await jobs.get(session, job.id, lock=True)
            if row.generation == job.generation:
                # A run that was helped and is stuck again is another occasion.
                await note(session, row, stall, occasion=run.history_length)
            await session.commit()

    async def _seen(self, job: Job) -> None:
        async with self._db.platform() as session:
            row = await jobs.get(session, job.id, lock=True)
            row.reconciled_at = utc_now()
            if row.status not in OPEN_JOBS:
                # What it alerted about is over, however it ended.
                row.timeline_final = job.status not in OPEN_JOBS
                await jobs.resolve_alerts(session, row)
            await session.commit()


def timeline(
    job: Job,
    events: Iterable[HistoryEvent],
    pending: Iterable[PendingActivityInfo] = (),
) -> list[StepLine]:
    """The lines that the steps of this run would have written themselves.

    A step's name is its activity id up to `#` (later rounds are `name#2`).
    """
    scheduled: dict[int, tuple[str, datetime]] = {}
    started: dict[int, tuple[int, datetime]] = {}
    lines: list[StepLine] = []

    def line(event_id: int, status: StepStatus, **told: object) -> None:
        name, at = scheduled[event_id]
        attempt, began = started.get(event_id, (1, at))
        placed = {"tried_at": began, "started_at": began, "tries": attempt} | told
        lines.append(
            StepLine(
                tenant_id=job.tenant_id,
                job_id=job.id,
                name=name,
                status=status,
                generation=job.generation,
                scheduled_at=at,
                phase=0 if status is StepStatus.RUNNING else 1,
                **placed,  # type: ignore[arg-type]
            )
        )

    for event in events:
        at = _utc(event.event_time)
        match event.event_type:
            case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                name = event.activity_task_scheduled_event_attributes.activity_id
                scheduled[event.event_id] = (name.partition("#")[0], at)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
                begun = event.activity_task_started_event_attributes
                started[begun.scheduled_event_id] = (begun.attempt, at)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
                done = event.activity_task_completed_event_attributes
                line(done.scheduled_event_id, StepStatus.SUCCEEDED, ended_at=at)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_CANCELED:
                ended = event.activity_task_canceled_event_attributes
                # Between two tries: it has no start of its own to be placed by.
                started.setdefault(ended.scheduled_event_id, (1, at))
                line(ended.scheduled_event_id, StepStatus.CANCELLED, ended_at=at)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED:
                failed = event.activity_task_failed_event_attributes
                code = failed.failure.application_failure_info.type
                over = code == Reason.ENDED
                line(
                    failed.scheduled_event_id,
                    StepStatus.CANCELLED if over else StepStatus.PARKED,
                    ended_at=at,
                    code=code,
                    message=failed.failure.message,
                )
    by_name = {name: event_id for event_id, (name, _) in scheduled.items()}
    for one in pending:
        event_id = by_name.get(one.activity_id.partition("#")[0])
        if event_id is None:
            continue
        running = one.state == Pending.PENDING_ACTIVITY_STATE_STARTED
        if running:
            started[event_id] = (one.attempt, _utc(one.last_started_time))
            line(event_id, StepStatus.RUNNING)
        if running or not one.HasField("last_failure"):
            continue
        code = one.last_failure.application_failure_info.type
        line(
            event_id,
            StepStatus.RETRYING,
            # Temporal forgets when a try began as soon as it has ended.
            tried_at=_utc(one.last_attempt_complete_time),
            tries=max(one.attempt - 1, 1),
            code="waiting" if code == NOT_YET else code,
            message=one.last_failure.message,
            next_retry_at=_utc(one.next_attempt_schedule_time),
        )
    return lines


def _utc(at: Timestamp) -> datetime:
    return at.ToDatetime(tzinfo=UTC)
