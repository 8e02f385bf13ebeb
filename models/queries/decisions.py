"""What operators decided about jobs, and what a decision touches at once."""

from collections.abc import Sequence
from uuid import UUID, uuid5

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, delete, select

from models.audit import Action
from models.base import utc_now
from models.database import Session
from models.errors import Busy
from models.jobs import Decision, DecisionCode, Job, JobStep
from models.orders import OrderItem
from models.queries import audit, jobs, services
from models.queries.audit import By
from models.states import (
    OPEN_JOBS,
    DecisionStatus,
    JobStatus,
    StepStatus,
)

_WAKE = text("select pg_notify('mpanel', :what)")


async def of_generation(session: Session, job: Job) -> Sequence[Decision]:
    """What this run of the job was told or is to be told, oldest first."""
    found = await session.exec(
        select(Decision)
        .where(
            Decision.job_id == job.id,
            Decision.generation == job.generation,
            Decision.status != DecisionStatus.REFUSED,
        )
        .order_by(col(Decision.created_at))
    )
    return found.all()


async def parked(session: Session, job: Job, step: str) -> bool:
    """Whether this step of the job waits for a person."""
    if step == job.step:
        return True
    found = await session.exec(
        select(JobStep.id).where(
            JobStep.job_id == job.id,
            JobStep.name == step,
            JobStep.generation == job.generation,
            JobStep.status == StepStatus.PARKED,
        )
    )
    return found.first() is not None


async def take_back(session: Session, job: Job, decision: Decision) -> None:
    """As `jobs.take_back`, and a line that had not begun fails its service.

    Raises `Busy` if another job holds the service.
    """
    subject_id = job.subject_id
    try:
        async with session.begin_nested():
            await jobs.take_back(session, job, decision)
    except IntegrityError:
        holder = await _holder(session, subject_id)
        raise Busy(
            "another job is open for what this one delivered",
            **({"job_id": str(holder.id), "status": holder.status} if holder else {}),
        ) from None
    if job.status == JobStatus.CANCELLED:
        await services.fail_subject(session, job)


async def take_back_needing(session: Session, job: Job, decision: Decision) -> None:
    """Has every line undone that cannot be without the one this job delivers."""
    line = (
        await session.exec(select(OrderItem).where(OrderItem.job_id == job.id))
    ).one_or_none()
    if line is None:
        return
    needing = await session.exec(
        select(Job)
        .join(OrderItem, col(OrderItem.job_id) == col(Job.id))
        .where(OrderItem.needs_item_id == line.id)
        .order_by(col(Job.id))
    )
    for one in needing.all():
        await take_back(session, one, decision)
        await take_back_needing(session, one, decision)


async def cancel(session: Session, job: Job) -> None:
    """Ends a job that has not begun."""
    job.status, job.ended_at = JobStatus.CANCELLED, utc_now()
    job.updated_at = utc_now()
    await services.fail_subject(session, job)
    await jobs.resolve_alerts(session, job)


async def tell(session: Session, job: Job, decision: Decision, by: By) -> None:
    """The audit log's line about it; one, however often it is told."""
    await audit.record(
        session,
        tenant_id=job.tenant_id,
        by=by,
        action=Action(f"decision.{decision.act}"),
        entity="job",
        entity_id=job.id,
        reason=decision.why,
        details={
            "decisionId": str(decision.id),
            "orderId": str(job.order_id) if job.order_id else None,
            "generation": decision.generation,
            "step": decision.step,
            "correction": dict(decision.correction),
            "via": decision.via,
            "verified": decision.verified,
        },
        event_id=uuid5(decision.id, "audit"),
    )


async def forget_codes(session: Session, author_id: UUID) -> None:
    """Those that this user or key was given, and has not used."""
    await session.exec(
        delete(DecisionCode).where(
            col(DecisionCode.author_id) == author_id,
            col(DecisionCode.used_at).is_(None),
        )
    )


async def wake(session: Session, *what: str) -> None:
    """Tells the worker at the commit: `decide`, `start`."""
    connection = await session.connection()
    for one in what:
        await connection.execute(_WAKE, {"what": one})


async def _holder(session: Session, subject_id: UUID) -> Job | None:
    found = await session.exec(
        select(Job).where(
            Job.subject_id == subject_id,
            Job.exclusive,
            col(Job.status).in_(OPEN_JOBS),
        )
    )
    return found.first()
