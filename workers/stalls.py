"""Runs that stand still and wait for nobody: their code fails, or no worker serves the
queue of a step. Such a job keeps its status; its row says why nothing happens.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlmodel import select
from temporalio.api.enums.v1 import PendingActivityState as Pending
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import WorkflowExecutionDescription

from activities.errors import redacted
from models.alerts import Alert
from models.base import utc_now
from models.database import Session
from models.jobs import Job
from models.queries import jobs
from models.queries.alerts import raise_for_job
from models.states import AlertStatus, JobStatus, Reason
from workers.trouble import behind

# A worker that is up takes a step within milliseconds, if no rate holds it back.
UNTAKEN: Final = timedelta(seconds=15)
STALLS: Final = (Reason.RUN_STUCK, Reason.NO_WORKER)
_PROBLEMS: Final = "TemporalReportedProblems"
_AT_WORK: Final = (
    JobStatus.WAITING,
    JobStatus.PENDING,
    JobStatus.RUNNING,
    JobStatus.UNDOING,
)


@dataclass(frozen=True)
class Stall:
    """Why nothing happens. `provider`: behind the queue that nobody serves."""

    reason: Reason
    message: str
    step: str | None = None
    provider: str = ""
    code: str = ""


def stall_of(
    run: WorkflowExecutionDescription, pending: Iterable[PendingActivityInfo]
) -> Stall | None:
    """Why the run stands still, if it does."""
    for pair in run.typed_search_attributes.search_attributes:
        if pair.key.name == _PROBLEMS and pair.value:
            problem = redacted(str(pair.value[0]))
            return Stall(Reason.RUN_STUCK, f"its workflow code fails: {problem}")
    for one in pending:
        since = _untaken_since(one)
        if since is not None and utc_now() - since > UNTAKEN:
            step = one.activity_id.partition("#")[0]
            queue = one.activity_options.task_queue.name
            return Stall(
                Reason.NO_WORKER,
                f"{step} waits in the queue {queue} since {since:%H:%M:%S} UTC, and no"
                " worker has taken it",
                step,
                behind(queue),
                queue,
            )
    return None


async def note(session: Session, row: Job, stall: Stall | None, occasion: int) -> None:
    """Writes it to the job's row, or that it is over. `row` is locked.

    Failing code is alerted about; `occasion` tells one time from the next.
    """
    stuck = stall is not None and stall.reason is Reason.RUN_STUCK
    told = await _has_alert(session, row, Reason.RUN_STUCK)
    if stall is not None and stuck and not told:
        await raise_for_job(
            session,
            row,
            cause=str(Reason.RUN_STUCK),
            message=f"{row.kind}: {stall.message}",
            occasion=f"{row.generation}:{Reason.RUN_STUCK}:{occasion}",
        )
    elif told and not stuck:
        await jobs.resolve_alerts(session, row, cause=Reason.RUN_STUCK)
    if row.status not in _AT_WORK:
        return  # it waits for a person, or is over: that is said already
    if stall is None:
        if row.reason in STALLS:
            row.go_on()
    elif (row.reason, row.step) != (stall.reason, stall.step):
        row.step, row.reason, row.message = stall.step, stall.reason, stall.message
        row.blame(stall.provider, code=stall.code)
        row.updated_at = utc_now()


def _untaken_since(one: PendingActivityInfo) -> datetime | None:
    """Since when it could be taken and was not; None if somebody has it."""
    if one.state != Pending.PENDING_ACTIVITY_STATE_SCHEDULED or one.paused:
        return None
    if one.HasField("next_attempt_schedule_time"):
        return one.next_attempt_schedule_time.ToDatetime(tzinfo=UTC)
    return one.scheduled_time.ToDatetime(tzinfo=UTC)


async def _has_alert(session: Session, job: Job, reason: Reason) -> bool:
    found = await session.exec(
        select(Alert.id).where(
            Alert.job_id == job.id,
            Alert.cause == str(reason),
            Alert.status != AlertStatus.RESOLVED,
        )
    )
    return found.first() is not None
