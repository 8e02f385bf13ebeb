"""Everything that is asked of the jobs table."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, LiteralString, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select

from models.base import utc_now
from models.database import Session
from models.direct import Direct
from models.errors import Busy, NotFound
from models.jobs import Decision, Job, JobStep
from models.queries import entries
from models.queries.entries import Entered
from models.queries.slices import Slice, Window, page
from models.states import (
    CLOUDPOD_ACTS,
    OPEN_JOBS,
    UNDONE_JOBS,
    Act,
    DecisionStatus,
    JobKind,
    JobStatus,
    Reason,
)

ABORTS = (Act.ABORT_ITEM, Act.ABORT_ORDER)

# No run is left to tell: a new generation does what was decided.
RUN_GONE = (Reason.RUN_LOST, Reason.RUN_ENDED_OUTSIDE)


def _words(*words: str) -> str:
    return ", ".join(f"'{word}'" for word in words)


# Of a row of `jobs`: its CloudPod does something else first, and its life, which has
# it already, begins it after that.
AWAITS_ITS_TURN: Final = (
    f"jobs.kind in ({_words(*CLOUDPOD_ACTS)}) and exists (select from jobs other"
    " where other.subject_id = jobs.subject_id and other.id <> jobs.id"
    f" and other.kind in ({_words(JobKind.CLOUDPOD_PROVISION, *CLOUDPOD_ACTS)})"
    f" and other.status in ({_words(*OPEN_JOBS)}) and (other.status <> 'pending'"
    " or (other.created_at, other.id) < (jobs.created_at, jobs.id)))"
)

_RESOLVE = text(
    "update alerts set status = 'resolved', resolved_at = :now"
    " where job_id = :job and status <> 'resolved'"
    " and (cast(:cause as text) is null or cause = :cause)"
)

# A generation that was begun since has another timeline.
_CLOSE = text(
    "with closed as (update jobs set reconciled_at = :now, timeline_final = true"
    " from unnest(cast(:jobs as uuid[]), cast(:generations as int[])) as seen"
    " (id, generation) where jobs.id = seen.id and jobs.generation = seen.generation"
    " and jobs.ended_at is not null returning jobs.id)"
    " update alerts set status = 'resolved', resolved_at = :now"
    " where job_id in (select id from closed) and status <> 'resolved'"
)
_STARTED: Final[LiteralString] = (
    "update jobs set started_generation ="
    " greatest(started_generation, %(generation)s::int) where id = %(job)s returning id"
)
# Asked when a call comes in, by the platform's connection: so the caller's tenant is
# named here, not by row-level security.
LOOK: Final = entries.asking_too(
    "j.id, j.tenant_id, j.kind, j.status, j.subject_id, j.order_id, j.parent_id,"
    " j.generation, j.step, j.reason, j.message, j.created_at, j.updated_at,"
    " j.started_at, j.ended_at",
    "left join jobs j on j.id = %(job)s and (login.roles ? 'super_admin'"
    " or j.tenant_id = coalesce(login.tenant_id, key.tenant_id))",
)


class JobSeen(NamedTuple):
    """A job as whoever polls it sees it: a fraction of the cost of the row itself."""

    id: UUID
    tenant_id: UUID
    kind: str
    status: str
    subject_id: UUID
    order_id: UUID | None
    parent_id: UUID | None
    generation: int
    step: str | None
    reason: str | None
    message: str | None
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


def seen(entered: Entered) -> JobSeen | None:
    """The job that `LOOK` found in the caller's sight."""
    return JobSeen(*entered.too) if entered.too[0] else None


async def get(session: Session, job_id: UUID, *, lock: bool = False) -> Job:
    """The job. Raises `NotFound` if it is unknown or another tenant's."""
    query = select(Job).where(Job.id == job_id)
    if lock:
        query = query.with_for_update()
    job = (await session.exec(query)).one_or_none()
    if job is None:
        raise NotFound(f"there is no job {job_id}")
    return job


async def add_exclusive(session: Session, job: Job) -> None:
    """Adds the job; `Busy` names the open job that holds its subject."""
    try:
        async with session.begin_nested():
            session.add(job)
    except IntegrityError:
        open_ones = await open_of(session, job.subject_id)
        holder = next(
            (one for one in open_ones if one.exclusive or one.kind == job.kind), None
        )
        if holder is None:
            raise
        raise Busy(
            f"a {holder.kind} job is open for this one already",
            job_id=str(holder.id),
            status=str(holder.status),
        ) from None


async def open_of(session: Session, subject_id: UUID) -> Sequence[Job]:
    """The open jobs about one subject, oldest first."""
    found = await session.exec(
        select(Job)
        .where(Job.subject_id == subject_id, col(Job.status).in_(OPEN_JOBS))
        .order_by(col(Job.created_at), col(Job.id))
    )
    return found.all()


async def acts_before(session: Session, act: Job) -> Sequence[Job]:
    """What its CloudPod was asked for earlier and has not begun, oldest first."""
    return [
        one
        for one in await open_of(session, act.subject_id)
        if one.kind in CLOUDPOD_ACTS
        and one.status == JobStatus.PENDING
        and one.started_generation < one.generation
        and is_before(one, act)
    ]


def is_before(one: Job, other: Job) -> bool:
    """Whether it was asked for earlier."""
    return (one.created_at, one.id) < (other.created_at, other.id)


async def cancel_unbegun(session: Session, subject_id: UUID, why: str) -> None:
    """What was asked of a subject that is no more, and has not begun."""
    for job in await open_of(session, subject_id):
        if job.status == JobStatus.PENDING and job.started_generation == 0:
            job.status, job.message = JobStatus.CANCELLED, why
            job.ended_at = job.updated_at = utc_now()


async def children(session: Session, parent_id: UUID) -> Sequence[Job]:
    """The jobs that deliver an order's lines, oldest first."""
    return (
        await session.exec(
            select(Job)
            .where(Job.parent_id == parent_id)
            .order_by(col(Job.created_at), col(Job.id))
        )
    ).all()


async def steps(session: Session, job_id: UUID) -> Sequence[JobStep]:
    """The timeline, in the order in which the steps were first scheduled."""
    return (
        await session.exec(
            select(JobStep)
            .where(JobStep.job_id == job_id)
            .order_by(col(JobStep.created_at), col(JobStep.name))
        )
    ).all()


async def find(
    session: Session,
    window: Window,
    *,
    statuses: Sequence[JobStatus] = (),
    kind: JobKind | None = None,
    subject_id: UUID | None = None,
) -> Slice[Job]:
    """Newest first."""
    query = select(Job).order_by(col(Job.created_at).desc(), col(Job.id))
    if statuses:
        query = query.where(col(Job.status).in_(statuses))
    if kind is not None:
        query = query.where(Job.kind == kind)
    if subject_id is not None:
        query = query.where(Job.subject_id == subject_id)
    return await page(session, query, window)


async def decisions(session: Session, job_id: UUID) -> Sequence[Decision]:
    """What was decided about the job, oldest first."""
    return (
        await session.exec(
            select(Decision)
            .where(Decision.job_id == job_id)
            .order_by(col(Decision.created_at), col(Decision.id))
        )
    ).all()


async def open_abort(session: Session, job: Job) -> Decision | None:
    """The abort that this generation has been told, or is to be told."""
    return (
        await session.exec(
            select(Decision)
            .where(
                Decision.job_id == job.id,
                Decision.generation == job.generation,
                col(Decision.act).in_(ABORTS),
                Decision.status != DecisionStatus.REFUSED,
            )
            .order_by(col(Decision.created_at))
        )
    ).first()


async def open_aborts(session: Session, pending: Sequence[Job]) -> dict[UUID, Decision]:
    """The open abort of each of these jobs that has one, by the job's id."""
    if not pending:
        return {}
    found = await session.exec(
        select(Decision)
        .where(
            col(Decision.job_id).in_([job.id for job in pending]),
            col(Decision.act).in_(ABORTS),
            Decision.status != DecisionStatus.REFUSED,
        )
        .order_by(col(Decision.created_at).desc())
    )
    told = {(one.job_id, one.generation): one for one in found.all()}
    return {
        job.id: told[job.id, job.generation]
        for job in pending
        if (job.id, job.generation) in told
    }


async def started(direct: Direct, job: Job) -> None:
    """Its generation has a run. Were this lost: a second start is none."""
    await direct.row(_STARTED, {"job": job.id, "generation": job.generation})


async def take_back(session: Session, job: Job, order: Decision) -> None:
    """Has one delivered line undone: by its open run, or by a new one if it has none.

    A line that has not begun is cancelled on the spot. `order` is the decision that
    the line's own decision repeats. Safe to repeat.
    """
    await session.refresh(job, with_for_update=True)
    if job.status in UNDONE_JOBS:
        return
    if job.status == JobStatus.WAITING:
        job.status, job.ended_at = JobStatus.CANCELLED, utc_now()
        job.updated_at = utc_now()
    else:
        if job.status == JobStatus.SUCCEEDED or job.reason in RUN_GONE:
            job.renew()
            await resolve_alerts(session, job)
        if await open_abort(session, job) is None:
            session.add(_repeated(order, job))
        if job.kind == JobKind.CLOUDPOD_PROVISION:
            await _end_life(session, job, order)
    await session.flush()


async def _end_life(session: Session, delivered: Job, order: Decision) -> None:
    """What its CloudPod was asked for since is given up first, but for its removal,
    which goes the same way."""
    for act in await open_of(session, delivered.subject_id):
        if act.kind not in CLOUDPOD_ACTS or act.kind == JobKind.CLOUDPOD_DELETE:
            continue
        if act.status == JobStatus.PENDING and act.generation == 1:
            continue  # it ends when its turn comes
        if act.reason in RUN_GONE:
            act.renew()
            await resolve_alerts(session, act)
        if await open_abort(session, act) is None:
            session.add(_repeated(order, act))


async def begin_anew(session: Session, job: Job, told: Decision | None = None) -> None:
    """The next generation, because of `told`.

    A run that was lost while it undid something goes on undoing, whatever is told.
    """
    undoing = await open_abort(session, job)
    job.renew()
    await resolve_alerts(session, job)
    if told is not None:
        told.generation = job.generation
    if undoing is not None and (told is None or told.act not in ABORTS):
        session.add(_repeated(undoing, job))


async def resolve_alerts(
    session: Session, job: Job, *, cause: Reason | None = None
) -> None:
    """What the job alerted about (or only this cause of it) is decided, or over."""
    connection = await session.connection()
    await connection.execute(
        _RESOLVE,
        {"job": job.id, "now": utc_now(), "cause": str(cause) if cause else None},
    )


async def close(session: Session, ended: Sequence[Job]) -> None:
    """Their timelines are whole, and what they alerted about is over."""
    connection = await session.connection()
    await connection.execute(
        _CLOSE,
        {
            "now": utc_now(),
            "jobs": [job.id for job in ended],
            "generations": [job.generation for job in ended],
        },
    )


def _repeated(decision: Decision, job: Job) -> Decision:
    """The same abort, for this generation of this job."""
    return Decision(
        tenant_id=job.tenant_id,
        job_id=job.id,
        generation=job.generation,
        act=decision.act if job.kind == JobKind.FULFIL_ORDER else Act.ABORT_ITEM,
        why=decision.why,
        author_id=decision.author_id,
        author=decision.author,
        via=decision.via,
        verified=decision.verified,
    )
