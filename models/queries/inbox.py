"""What waits for people: jobs with a reason, grouped by where their failure came from.

A job stays here until its reason is gone, whether it waits for a decision or stalls.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Select, func, tuple_
from sqlalchemy.orm import aliased
from sqlmodel import col, or_, select
from sqlmodel.sql.expression import SelectOfScalar

from models.backups import BackupPlan
from models.causes import CAUSES, Cause, Signs
from models.cloudpods import CloudPod
from models.customers import Customer
from models.database import Session
from models.effects import Effect
from models.jobs import Job
from models.money import Cents
from models.orders import Order, OrderItem
from models.payments import PaymentClaim, PaymentRefund
from models.queries.slices import Slice, Window, counted, in_sight
from models.states import GIVEN_BACK, OPEN_JOBS, EffectState, JobKind
from models.websites import Website


@dataclass(frozen=True)
class Group:
    """Jobs that wait for the same cause. `oldest`: since when the first of them does.

    `signs`: what their rows say; several may mean one cause.
    """

    cause: Cause
    count: int
    oldest: datetime
    signs: tuple[Signs, ...]


@dataclass(frozen=True)
class Filter:
    """Which of the waiting jobs; nothing given means all."""

    kind: JobKind | None = None
    tenant_id: UUID | None = None
    provider: str | None = None


@dataclass(frozen=True)
class Entry:
    """A job, whose it is, and how much of the order's money we hold (minor units)."""

    job: Job
    cause: Cause | None
    customer: Customer | None
    domain: str | None
    taken: Cents
    currency: str | None


class Place(NamedTuple):
    """Where a job stands among those that wait."""

    since: datetime
    job_id: UUID


@dataclass(frozen=True)
class Doubt:
    """An effect of which nobody knows whether it is there, and its job."""

    effect: Effect
    job: Job


_SIGNS = (
    col(Job.reason),
    func.coalesce(col(Job.provider), ""),
    func.coalesce(col(Job.error_class), ""),
    func.coalesce(col(Job.error_code), ""),
    col(Job.undoing),
)


def signs_of(job: Job) -> Signs:
    """What the job's row says of its failure."""
    return Signs(
        reason=str(job.reason or ""),
        provider=job.provider or "",
        error_class=job.error_class or "",
        code=job.error_code or "",
        undoing=job.undoing,
    )


def cause_of(job: Job) -> Cause | None:
    """Why it waits or has ended; None if nothing is wrong with it."""
    return CAUSES.of(signs_of(job)) if job.reason else None


async def groups(session: Session, only: Filter = Filter()) -> list[Group]:
    """One per cause, the longest wait first."""
    asked: Select[Any] = (
        _waiting(
            select(*_SIGNS, func.count(), func.min(col(Job.updated_at))),  # type: ignore[call-overload]
            only,
        )
        .group_by(*_SIGNS)
        .order_by(func.min(col(Job.updated_at)))
    )
    found: dict[str, Group] = {}
    for *words, count, oldest in (await session.exec(asked)).all():  # type: ignore[call-overload]
        signs = Signs(*words)
        cause = CAUSES.of(signs)
        before = found.get(cause.id)
        found[cause.id] = Group(
            cause,
            count + (before.count if before else 0),
            before.oldest if before else oldest,
            (*(before.signs if before else ()), signs),
        )
    return list(found.values())


async def entries(
    session: Session,
    window: Window,
    *,
    only: Filter = Filter(),
    signs: Sequence[Signs] | None = None,
) -> Slice[Entry]:
    """Those that wait, the longest wait first. `signs`: of one cause alone.

    Which of them are on the page is told by an index; only they are looked up.
    """
    waiting = in_sight(session, _waiting(select(Job.id), only))
    if signs is not None:
        waiting = waiting.where(tuple_(*_SIGNS).in_([_words(one) for one in signs]))
    total = await counted(session, waiting, window)
    waiting = waiting.order_by(col(Job.updated_at), col(Job.id))
    shown = waiting.offset(window.offset).limit(window.limit)
    asked = _entries(shown).order_by(col(Job.updated_at), col(Job.id))
    return Slice(await _read(session, asked), total)


async def entries_of(session: Session, job_ids: Sequence[UUID]) -> list[Entry]:
    """These jobs, waiting or not, the newest first."""
    asked = _entries(select(Job.id).where(col(Job.id).in_(job_ids)))
    return await _read(session, asked.order_by(col(Job.created_at).desc(), col(Job.id)))


async def waiting_at(
    session: Session,
    signs: Sequence[Signs],
    only: Filter,
    *,
    limit: int,
    after: Place | None = None,
) -> Sequence[Place]:
    """The jobs of one cause, the longest wait first, from behind `after` on."""
    asked = _behind(
        select(col(Job.updated_at), col(Job.id)), signs, only, after
    ).order_by(col(Job.updated_at), col(Job.id))
    found = (await session.exec(asked.limit(limit))).all()
    return [Place(*row) for row in found]


async def count_behind(
    session: Session, signs: Sequence[Signs], only: Filter, after: Place
) -> int:
    """How many of one cause wait behind this place."""
    asked = _behind(select(func.count()).select_from(Job), signs, only, after)
    return int((await session.exec(asked)).one())


def _behind(
    asked: Any, signs: Sequence[Signs], only: Filter, after: Place | None
) -> Any:
    asked = _waiting(asked, only).where(
        tuple_(*_SIGNS).in_([_words(one) for one in signs])
    )
    if after is None:
        return asked
    here = tuple_(col(Job.updated_at), col(Job.id))
    return asked.where(here > (after.since, after.job_id))


async def effects_of(session: Session, jobs: Sequence[Job]) -> Sequence[Effect]:
    """What these jobs, or others about the same things, have made; oldest first."""
    found = await session.exec(
        select(Effect)
        .where(
            or_(
                col(Effect.job_id).in_([job.id for job in jobs]),
                col(Effect.owner_id).in_([job.subject_id for job in jobs]),
            )
        )
        .order_by(col(Effect.created_at), col(Effect.id))
    )
    return found.all()


async def needing(session: Session, job: Job) -> list[tuple[OrderItem, Job]]:
    """The order's lines that cannot be without the one this job delivers, and what
    needs those in turn."""
    rows = await session.exec(
        select(OrderItem, Job)
        .join(Job, col(Job.id) == col(OrderItem.job_id))
        .where(OrderItem.order_id == job.order_id)
        .order_by(col(OrderItem.position))
    )
    lines = list(rows.all())
    taken = {item.id for item, one in lines if one.id == job.id}
    found: list[tuple[OrderItem, Job]] = []
    while more := [
        (item, one)
        for item, one in lines
        if item.needs_item_id in taken and item.id not in taken
    ]:
        found += more
        taken |= {item.id for item, _ in more}
    return found


async def doubts(session: Session, window: Window) -> Slice[Doubt]:
    """Effects that were begun by jobs that do not work on them now, oldest first."""
    asked = (
        select(Effect, Job)
        .join(Job, col(Job.id) == col(Effect.job_id))
        .where(
            Effect.state == EffectState.INTENDED,
            or_(col(Job.status).not_in(OPEN_JOBS), col(Job.reason).is_not(None)),
        )
    )
    counted = select(func.count()).select_from(asked.subquery())
    total = (await session.exec(counted)).one()
    part = asked.order_by(col(Effect.created_at), col(Effect.id))
    part = part.offset(window.offset).limit(window.limit)
    found = (await session.exec(part)).all()
    return Slice([Doubt(effect, job) for effect, job in found], total)


def _words(signs: Signs) -> tuple[str, str, str, str, bool]:
    return (signs.reason, signs.provider, signs.error_class, signs.code, signs.undoing)


def _waiting(asked: Any, only: Filter) -> Any:
    asked = asked.where(col(Job.reason).is_not(None), col(Job.status).in_(OPEN_JOBS))
    if only.kind is not None:
        asked = asked.where(Job.kind == only.kind)
    if only.tenant_id is not None:
        asked = asked.where(Job.tenant_id == only.tenant_id)
    if only.provider is not None:
        asked = asked.where(Job.provider == only.provider)
    return asked


def _entries(ids: SelectOfScalar[UUID]) -> Any:
    """These jobs, each with its customer, by whichever of order and subject knows one.

    Customers are joined to what is found already: row-level security lets no index
    look one up by an expression like the `coalesce` here.
    """
    shown, backed_up = ids.subquery(), aliased(Website)
    returned = (
        select(func.coalesce(func.sum(PaymentRefund.amount), 0))
        .where(
            PaymentRefund.order_id == Job.order_id,
            col(PaymentRefund.status).in_(GIVEN_BACK),
        )
        .correlate(Job)
        .scalar_subquery()
    )
    seen = (
        select(
            col(Job.id),
            func.coalesce(
                col(Order.customer_id),
                col(Website.customer_id),
                col(BackupPlan.customer_id),
                col(CloudPod.customer_id),
            ).label("customer_id"),
            func.coalesce(
                col(Website.domain), col(backed_up.domain), col(CloudPod.hostname)
            ).label("domain"),
            (func.coalesce(col(PaymentClaim.amount), 0) - returned).label("taken"),
            col(PaymentClaim.currency),
        )  # type: ignore[call-overload]
        .select_from(shown)
        .join(Job, col(Job.id) == shown.c.id)
        .outerjoin(Order, col(Order.id) == col(Job.order_id))
        .outerjoin(Website, col(Website.id) == col(Job.subject_id))
        .outerjoin(CloudPod, col(CloudPod.id) == col(Job.subject_id))
        .outerjoin(BackupPlan, col(BackupPlan.id) == col(Job.subject_id))
        .outerjoin(backed_up, col(backed_up.id) == col(BackupPlan.website_id))
        .outerjoin(PaymentClaim, col(PaymentClaim.order_id) == col(Job.order_id))
        .cte("seen")
        .prefix_with("materialized")
    )
    return (
        select(Job, Customer, seen.c.domain, seen.c.taken, seen.c.currency)  # type: ignore[call-overload]
        .select_from(seen)
        .join(Job, col(Job.id) == seen.c.id)
        .outerjoin(Customer, col(Customer.id) == seen.c.customer_id)
    )


async def _read(session: Session, asked: Any) -> list[Entry]:
    found = await session.exec(asked)
    return [
        Entry(
            job=job,
            cause=cause_of(job),
            customer=customer,
            domain=domain,
            taken=int(taken) if currency else 0,
            currency=currency.upper() if currency else None,
        )
        for job, customer, domain, taken, currency in found.all()
    ]
