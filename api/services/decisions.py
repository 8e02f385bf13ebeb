"""What an operator decides about a job: a row first, carried out by the worker.

Nothing here asks Temporal, so the answer comes with no worker up, too.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from api.auth.actor import Actor
from api.services import acts
from models.audit import Action
from models.base import utc_now
from models.database import Session
from models.errors import Conflict, Denied, Invalid, WrongState
from models.jobs import Decision, DecisionCode, Job, code_hash, seen_hash
from models.orders import Order
from models.queries import audit, decisions, jobs
from models.queries.outbox import tell_customer
from models.states import (
    OPEN_JOBS,
    Act,
    DecisionStatus,
    JobKind,
    JobStatus,
    OrderStatus,
    Reason,
)
from models.tenants import MIGRAHOSTING

CODE_LASTS: Final = timedelta(minutes=30)

_PAYMENT_ID = re.compile(r"pi_[a-zA-Z0-9_]{1,250}")


class Scope(StrEnum):
    ITEM = "item"
    ORDER = "order"


@dataclass(frozen=True)
class Wish:
    """What somebody wants of a job. `step`: None means the one that waits.

    `correction`: {"paymentIntentId": "pi_..."} with a retry of the payment's proof.
    """

    act: Act
    why: str
    step: str | None = None
    correction: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Code:
    """Shown once; lets its user decide by a signal from the Temporal UI."""

    code: str
    expires_at: datetime


async def go_on(session: Session, actor: Actor, job_id: UUID, wish: Wish) -> Decision:
    """Has a parked step tried again or skipped; a lost run begins anew.

    The same wish again, while it is recorded, gets the same row. Raises `NotFound`,
    `WrongState` (the job or the step waits for nobody), `Conflict` (decided
    otherwise), `Invalid` (the correction), and for a refund that is skipped
    `StepUpRequired`.
    """
    job, order = await _hold(session, await jobs.get(session, job_id))
    step = wish.step or job.step
    payment_id = _accepted_payment(job, step, wish)
    if payment_id is not None and not _owns_the_account(actor):
        raise Denied("only the owner of the payment account may name a payment")
    if same := await _recorded(session, job, wish, step):
        return same
    parked = step is not None and await decisions.parked(session, job, step)
    if refused := acts.going_on_refused(job, wish.act, step, parked=parked):
        raise WrongState(refused, status=str(job.status))
    if acts.settles_money(job, wish.act, step):
        actor.prove_fresh("settling a refund")
    gone, expired = acts.run_is_gone(job), acts.has_expired(job)
    decision = _written(actor, job, wish, step)
    if payment_id is not None:
        job.input = {**job.input, "accepted_payment": payment_id}
    if gone or expired:
        if expired and order is not None:
            order.revive()
            job.started_at = None
        await jobs.begin_anew(session, job, decision)
        decision.status, decision.delivered_at = DecisionStatus.DELIVERED, utc_now()
    session.add(decision)
    await _tell(session, actor, job, decision)
    await session.commit()
    return decision


async def abort(
    session: Session, actor: Actor, job_id: UUID, *, scope: Scope, why: str
) -> Decision:
    """Has one line undone with what needs it, or the whole order.

    Accepted in every open state, also before the start, and for a delivered line
    while its order is open. Raises `NotFound`, `WrongState`, `Busy`, `Invalid`, and
    `StepUpRequired`.
    """
    decision = await add_abort(session, actor, job_id, scope=scope, why=why)
    await session.commit()
    return decision


async def add_abort(
    session: Session, actor: Actor, job_id: UUID, *, scope: Scope, why: str
) -> Decision:
    """As `abort`, within what the caller commits."""
    job = await jobs.get(session, job_id)
    actor.prove_fresh("an abort")
    if scope is Scope.ORDER and job.kind != JobKind.FULFIL_ORDER:
        if job.parent_id is None:
            raise Invalid("scope", "this job belongs to no order; abort the item")
        job = await jobs.get(session, job.parent_id)
    job, order = await _hold(session, job)
    whole = job.kind == JobKind.FULFIL_ORDER
    wish = Wish(Act.ABORT_ORDER if whole else Act.ABORT_ITEM, why)
    standing = await jobs.open_abort(session, job)
    lost = acts.run_is_gone(job)
    if standing is not None and job.status in OPEN_JOBS and not lost:
        return standing
    decision = _written(actor, job, wish, None)
    begun = job.started_generation > 0 or job.generation > 1
    order_open = await _order_open(session, job)
    if refused := acts.abort_refused(job, order_open=order_open):
        raise WrongState(refused, status=str(job.status))
    if job.status == JobStatus.SUCCEEDED:
        decision = await _take_back_delivered(session, job, decision)
    elif job.status == JobStatus.WAITING or (
        job.status == JobStatus.PENDING and not begun
    ):
        await _cancel(session, job, order)
        decision.status, decision.delivered_at = DecisionStatus.DELIVERED, utc_now()
    elif lost:
        await jobs.begin_anew(session, job, decision)
    session.add(decision)
    await session.flush()
    await decisions.take_back_needing(session, job, decision)
    await _tell(session, actor, job, decision)
    return decision


async def issue_code(
    session: Session, actor: Actor, job_id: UUID, act: Act, step: str | None = None
) -> Code:
    """A one-time code for this act on the job as it is now, and on one step of it.

    Raises `NotFound`, `WrongState` (the job is over), `Invalid` (an abort of another
    scope than the job's), and for an abort, or a refund that is skipped,
    `StepUpRequired`.
    """
    job = await jobs.get(session, job_id)
    if act in jobs.ABORTS or acts.settles_money(job, act, step or job.step):
        actor.prove_fresh("an abort" if act in jobs.ABORTS else "settling a refund")
    whole = job.kind == JobKind.FULFIL_ORDER
    if act in jobs.ABORTS and act is not (Act.ABORT_ORDER if whole else Act.ABORT_ITEM):
        raise Invalid("act", f"a {job.kind} takes no {act}")
    if job.status not in OPEN_JOBS:
        raise WrongState(f"the job is {job.status}", status=str(job.status))
    code, expires_at = secrets.token_urlsafe(15), utc_now() + CODE_LASTS
    session.add(
        DecisionCode(
            tenant_id=job.tenant_id,
            code_hash=code_hash(code),
            job_id=job.id,
            act=act,
            step=None if act in jobs.ABORTS else step or job.step,
            seen_hash=seen_hash(job),
            author_id=actor.id,
            author=actor.author,
            expires_at=expires_at,
        )
    )
    await audit.record(
        session,
        tenant_id=job.tenant_id,
        by=actor.by,
        action=Action.DECISION_CODE_ISSUED,
        entity="job",
        entity_id=job.id,
        details={"act": str(act), "step": step, "expiresAt": expires_at.isoformat()},
    )
    await session.commit()
    return Code(code, expires_at)


async def _hold(session: Session, job: Job) -> tuple[Job, Order | None]:
    """Both locked, the order first: settling it takes the same lock."""
    order = None
    if job.order_id is not None:
        order = await session.get(Order, job.order_id, with_for_update=True)
    await session.refresh(job, with_for_update=True)
    return job, order


def _written(actor: Actor, job: Job, wish: Wish, step: str | None) -> Decision:
    return Decision(
        tenant_id=job.tenant_id,
        job_id=job.id,
        generation=job.generation,
        act=wish.act,
        step=step,
        why=wish.why,
        correction=dict(wish.correction),
        author_id=actor.id,
        author=actor.author,
        seen_hash=seen_hash(job),
    )


async def _tell(session: Session, actor: Actor, job: Job, decision: Decision) -> None:
    """The books, and on commit whoever carries it out."""
    await decisions.tell(session, job, decision, actor.by)
    begins = job.status == JobStatus.PENDING
    await decisions.wake(session, "decide", *(["start"] if begins else []))


async def _recorded(
    session: Session, job: Job, wish: Wish, step: str | None
) -> Decision | None:
    """This very decision, if it is recorded and not carried out yet."""
    for other in await decisions.of_generation(session, job):
        begins = job.status == JobStatus.PENDING and other.act == Act.RETRY
        if other.status != DecisionStatus.RECORDED and not begins:
            continue
        same = (other.act, other.correction) == (wish.act, dict(wish.correction))
        if same and (step == other.step or (begins and wish.step is None)):
            return other
        if other.act in jobs.ABORTS or other.step == step:
            raise Conflict(
                f"{other.author} has decided already: {other.act}",
                decision_id=str(other.id),
            )
    return None


async def _cancel(session: Session, job: Job, order: Order | None) -> None:
    await decisions.cancel(session, job)
    if job.kind != JobKind.FULFIL_ORDER:
        return
    if order is not None and order.status == OrderStatus.AWAITING_PAYMENT:
        order.cancel()
        await tell_customer(session, order, "order_cancelled")
    for line in await jobs.children(session, job.id):
        await decisions.cancel(session, line)


async def _order_open(session: Session, job: Job) -> bool:
    if job.parent_id is None:
        return False
    return (await jobs.get(session, job.parent_id)).status in OPEN_JOBS


async def _take_back_delivered(
    session: Session, job: Job, decision: Decision
) -> Decision:
    await decisions.take_back(session, job, decision)
    written = await jobs.open_abort(session, job)
    if written is None:
        raise WrongState(f"the job is {job.status}", status=str(job.status))
    written.seen_hash = decision.seen_hash
    return written


def _owns_the_account(actor: Actor) -> bool:
    """All payments lie in MigraHosting's account, other tenants' among them."""
    return actor.platform or actor.tenant_id == MIGRAHOSTING


def _accepted_payment(job: Job, step: str | None, wish: Wish) -> str | None:
    """The payment that an operator names as the order's. Raises `Invalid`."""
    if not wish.correction:
        return None
    expired = job.reason == Reason.PAYMENT_EXPIRED
    proving = job.kind == JobKind.FULFIL_ORDER and (
        step == acts.PROVE_PAYMENT or expired
    )
    named = wish.correction.get("paymentIntentId")
    if wish.act is not Act.RETRY or not proving or len(wish.correction) > 1:
        raise Invalid("correction", f"only a retry of {acts.PROVE_PAYMENT} takes one")
    if not isinstance(named, str) or not _PAYMENT_ID.fullmatch(named):
        raise Invalid("correction.paymentIntentId", "want an id that begins pi_")
    return named
