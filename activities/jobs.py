"""What the engine notes about a job in our own database, and decisions by signal."""

from uuid import UUID, uuid5

from sqlmodel import col, select
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.calls import (
    Decided,
    Failure,
    JobRef,
    Parking,
    Resuming,
    SignalReceived,
)
from models.audit import Action
from models.base import utc_now
from models.database import Database, Session
from models.jobs import Decision, DecisionCode, Job, JobStep, code_hash, seen_hash
from models.queries import alerts, audit, decisions, jobs, skips
from models.queries.audit import By
from models.queries.skips import Skip
from models.states import (
    OPEN_JOBS,
    Act,
    DecisionStatus,
    JobStatus,
    Severity,
    StepStatus,
)

# Whoever may open the Temporal UI can send one.
UNVERIFIED = By("signal", None, "unverified")
UNDO_STUCK = "undo_stuck"
_UNDO = "undo:"


class JobActivities:
    """Run as local activities; a note of a superseded run changes nothing."""

    def __init__(self, db: Database) -> None:
        self._db = db

    @activity.defn
    async def record_parked(self, parking: Parking) -> None:
        """The job needs attention: row, alert, operator mail and webhook, each once."""
        ref, failure = parking.ref, parking.failure
        async with self._db.tenant(ref.tenant_id) as session:
            job = await _current(session, ref)
            if job is None:
                return
            job.status = JobStatus.NEEDS_ATTENTION
            # The step that parks may be the first, whose own transaction is gone.
            job.started_generation = job.generation
            job.started_at = job.started_at or utc_now()
            _wait(job, parking.step, failure)
            step = (
                await session.exec(
                    select(JobStep).where(
                        JobStep.job_id == job.id, JobStep.name == parking.step
                    )
                )
            ).one_or_none()
            if step is not None:
                step.status, step.next_retry_at = StepStatus.PARKED, None
                step.code, step.message = failure.reason, failure.message
            undo = parking.step.startswith(_UNDO)
            await alerts.raise_for_job(
                session,
                job,
                cause=UNDO_STUCK if undo else str(failure.reason),
                message=f"{job.kind} waits at {parking.step}: {failure.message}",
                occasion=f"{ref.generation}:{parking.step}:{parking.round}",
                severity=Severity.CRITICAL if undo else Severity.WARNING,
            )
            await session.commit()

    @activity.defn
    async def record_resumed(self, resuming: Resuming) -> None:
        """Somebody decided: the job goes on, unless other steps are parked still."""
        async with self._db.tenant(resuming.ref.tenant_id) as session:
            job = await _current(session, resuming.ref)
            if job is None:
                return
            if resuming.still_parked:
                _wait(job, resuming.still_parked[0], resuming.waits_for)
            else:
                undoing = await jobs.open_abort(session, job) is not None
                job.status = JobStatus.UNDOING if undoing else JobStatus.RUNNING
                job.go_on()
                await jobs.resolve_alerts(session, job)
            if resuming.act is Act.SKIP:
                await skips.leave_out(
                    session,
                    job,
                    Skip(
                        resuming.step,
                        resuming.decision_id,
                        resuming.leaves,
                        done_by_hand=resuming.done_by_hand,
                    ),
                )
            job.updated_at = utc_now()
            await session.commit()

    @activity.defn
    async def record_undoing(self, ref: JobRef) -> None:
        """The abort has taken effect."""
        async with self._db.tenant(ref.tenant_id) as session:
            job = await _current(session, ref)
            if job is None:
                return
            job.status, job.undoing = JobStatus.UNDOING, True
            job.started_generation = job.generation
            job.go_on()
            job.updated_at = utc_now()
            await jobs.resolve_alerts(session, job)
            await session.commit()

    @activity.defn
    async def record_undone(self, ref: JobRef) -> None:
        """Nothing is left of it: the job has failed."""
        async with self._db.tenant(ref.tenant_id) as session:
            job = await _current(session, ref)
            if job is None:
                return
            job.status, job.undoing = JobStatus.FAILED, False
            job.message = "aborted by an operator and undone"
            job.ended_at = job.updated_at = utc_now()
            await jobs.resolve_alerts(session, job)
            await session.commit()

    @activity.defn
    async def see_ended(self, ref: JobRef) -> None:
        """Fails, to be asked again, while the job is open."""
        async with self._db.tenant(ref.tenant_id) as session:
            job = await jobs.get(session, ref.job_id)
        if job.status in OPEN_JOBS:
            raise ApplicationError(
                f"the job is {job.status}", category=ApplicationErrorCategory.BENIGN
            )

    @activity.defn
    async def accept_signal(self, signal: SignalReceived) -> Decided | None:
        """A signal becomes a decision's row, or nothing.

        A bare `retry` is kept as unverified. Everything else needs a one-time code,
        which names its user and is burnt here. Safe to repeat: the row's id is made
        of the signal's number.
        """
        ref = signal.ref
        decision_id = uuid5(ref.job_id, f"signal:{ref.generation}:{signal.number}")
        async with self._db.tenant(ref.tenant_id) as session:
            job = await _current(session, ref)
            if job is None:
                return None
            written = await session.get(Decision, decision_id)
            if written is not None:
                return Decided(written.id, Act(written.act), written.step)
            code = await _burn(session, signal) if signal.code else None
            if code is None and (signal.code or signal.act is not Act.RETRY):
                await _record_refusal(session, job, signal, decision_id)
                return None
            step = signal.step or (code.step if code else None)
            decision = Decision(
                id=decision_id,
                tenant_id=job.tenant_id,
                job_id=job.id,
                generation=job.generation,
                act=signal.act,
                step=step,
                why="by signal from the Temporal UI",
                author_id=code.author_id if code else None,
                author=code.author if code else UNVERIFIED.name,
                via="signal",
                verified=code is not None,
                seen_hash=seen_hash(job),
                status=DecisionStatus.DELIVERED,
                delivered_at=utc_now(),
            )
            session.add(decision)
            by = By("user", code.author_id, code.author) if code else UNVERIFIED
            await decisions.tell(session, job, decision, by)
            await session.commit()
        return Decided(decision_id, signal.act, step)


async def _current(session: Session, ref: JobRef) -> Job | None:
    job = await jobs.get(session, ref.job_id, lock=True)
    return job if job.generation == ref.generation else None


async def _record_refusal(
    session: Session, job: Job, signal: SignalReceived, decision_id: UUID
) -> None:
    """Without a code, or with one that does not fit (never kept: it may be real)."""
    await audit.record(
        session,
        tenant_id=job.tenant_id,
        by=UNVERIFIED,
        action=Action.DECISION_REFUSED,
        entity="job",
        entity_id=job.id,
        reason="the code does not fit" if signal.code else "it needs a code",
        details={"act": str(signal.act)},
        event_id=uuid5(decision_id, "refused"),
    )
    await session.commit()


def _wait(job: Job, step: str, failure: Failure | None) -> None:
    """At which step a person must decide, and why."""
    job.step, job.updated_at = step, utc_now()
    if failure is not None:
        job.reason, job.message = failure.reason, failure.message
        told = failure.origin
        job.blame(told.provider, told.error_class, told.code)


async def _burn(session: Session, signal: SignalReceived) -> DecisionCode | None:
    code = (
        await session.exec(
            select(DecisionCode)
            .where(
                DecisionCode.code_hash == code_hash(signal.code or ""),
                DecisionCode.job_id == signal.ref.job_id,
                DecisionCode.act == signal.act,
                col(DecisionCode.used_at).is_(None),
                DecisionCode.expires_at > utc_now(),
            )
            .with_for_update()
        )
    ).one_or_none()
    job: Job = await jobs.get(session, signal.ref.job_id)
    if code is None or code.seen_hash != seen_hash(job):
        return None
    if code.step is not None and signal.step not in (None, code.step):
        return None
    code.used_at = utc_now()
    return code
