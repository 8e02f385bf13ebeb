"""What waits for people: why, whose it is, what exists, and what each act would do.

Reads through the session it is given, so everybody sees their own tenant's rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from api.auth.actor import Actor
from api.services import decisions
from api.services.acts import Option, Scene, options
from api.services.decisions import Scope, Wish
from models.alerts import Alert
from models.database import Session
from models.effects import Effect
from models.errors import DomainError, Invalid, StepUpRequired
from models.jobs import Decision, Job, JobStep, Unclaimed
from models.money import Cents, to_decimal
from models.orders import Order, OrderItem
from models.queries import alerts, found, inbox, jobs, order_views, payments
from models.queries.inbox import Doubt, Entry, Filter, Group, Place
from models.queries.order_views import OrderView
from models.queries.slices import Slice, Window
from models.states import GIVEN_BACK, Act, JobKind, RefundStatus, UnclaimedStatus

MOST_AT_ONCE: Final = 500
ORPHAN: Final = "orphan"
_ELSEWHERE: Final = ("ch_", "py_", "in_", "sub_")
ALL: Final = Filter()


@dataclass(frozen=True)
class Line:
    """One item of the order, its job, and its money in minor units."""

    item: OrderItem
    job: Job
    refunded: Cents
    would_refund: Cents


@dataclass(frozen=True)
class Money:
    """What we hold of an order's payment, in minor units of `currency`.

    `returning`: refunds that are decided and not yet made at the provider; `failed`:
    those that Stripe could not make after all; `settled`: of `refunded`, what was
    given back by hand, as an operator says. `unclaimed`: what the customer paid, and
    a person has to say whether it is for this order.
    """

    currency: str
    payment_intent_id: str | None
    claimed: Cents
    refunded: Cents
    returning: Cents
    failed: Cents
    settled: Cents
    unclaimed: tuple[Unclaimed, ...]
    lines: tuple[Line, ...]

    @property
    def taken(self) -> Cents:
        """What the customer has paid and not got back."""
        return self.claimed - self.refunded


@dataclass(frozen=True)
class Detail:
    """Everything to decide about one job, in one look. `parked`: steps that wait."""

    entry: Entry
    order: Order | None
    root: Job | None
    money: Money | None
    effects: Sequence[Effect]
    steps: Sequence[JobStep]
    decisions: Sequence[Decision]
    parked: Sequence[str]
    options: tuple[Option, ...]


@dataclass(frozen=True)
class Ruling:
    """One act on many jobs. `step` and `correction` are for a retry or a skip."""

    act: Act
    why: str
    step: str | None = None
    correction: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Chosen:
    """The jobs that a ruling is about: these, or all of one cause that pass; at most
    so many of them, from behind `after` on."""

    job_ids: Sequence[UUID] = ()
    cause: str | None = None
    only: Filter = ALL
    after: Place | None = None
    most: int = MOST_AT_ONCE


@dataclass(frozen=True)
class Outcome:
    """What became of the ruling for one job: a decision, or why there is none."""

    job_id: UUID
    decision: Decision | None = None
    refused: DomainError | None = None


@dataclass(frozen=True)
class Ruled:
    """What became of a ruling. `left`: how many more of the cause wait; they are
    decided by the same ruling `after` this place."""

    outcomes: Sequence[Outcome]
    left: int = 0
    after: Place | None = None


@dataclass(frozen=True)
class Found:
    """`hint`: what leads on, where there is no job."""

    entries: Sequence[Entry]
    hint: str | None = None


@dataclass(frozen=True)
class Orphans:
    """`unknown`: there by a provider's own listing, and by no ledger of ours.
    `unsure`: in our ledger, and nobody knows whether it is there."""

    unknown: Sequence[Alert]
    unsure: Slice[Doubt]


async def groups(session: Session, only: Filter = ALL) -> list[Group]:
    """What waits, by cause, the longest wait first."""
    return await inbox.groups(session, only)


async def rows(
    session: Session,
    window: Window,
    *,
    cause: str | None = None,
    only: Filter = ALL,
) -> Slice[Entry]:
    """What waits, or what of it has this cause, the longest wait first."""
    if cause is None:
        return await inbox.entries(session, window, only=only)
    group = await _group(session, cause, only)
    if group is None:
        return Slice((), 0)
    return await inbox.entries(session, window, only=only, signs=group.signs)


async def detail(session: Session, job_id: UUID) -> Detail:
    """One job, waiting or not. Raises `NotFound`."""
    job = await jobs.get(session, job_id)
    [entry] = await inbox.entries_of(session, [job_id])
    view = await order_views.get(session, job.order_id) if job.order_id else None
    scene = await _scene(session, job, view)
    return Detail(
        entry=entry,
        order=scene.order,
        root=scene.root,
        money=_money(scene, scene.order) if scene.order else None,
        effects=scene.effects,
        steps=scene.steps,
        decisions=await jobs.decisions(session, job_id),
        parked=scene.parked,
        options=options(scene),
    )


async def decide(
    session: Session, actor: Actor, ruling: Ruling, chosen: Chosen
) -> Ruled:
    """Decides each job by itself: one that is refused stops no other.

    Safe to repeat: what is decided already keeps its decision. Of a cause the longest
    wait comes first, and what is left is told. Raises
    `StepUpRequired`, of an abort before anything is decided.
    """
    if ruling.act in jobs.ABORTS:
        actor.prove_fresh("an abort")
    job_ids = list(dict.fromkeys(chosen.job_ids))
    left, last = 0, None
    if chosen.cause is not None:
        places, left = await _of_cause(session, chosen.cause, chosen)
        job_ids += [place.job_id for place in places]
        last = places[-1] if left else None
    await session.commit()
    outcomes = [await _one(session, actor, ruling, job_id) for job_id in job_ids]
    return Ruled(outcomes, left, last)


async def _of_cause(
    session: Session, cause: str, chosen: Chosen
) -> tuple[Sequence[Place], int]:
    """Those that come next, and how many wait behind them."""
    group = await _group(session, cause, chosen.only)
    if group is None:
        return (), 0
    about = (session, group.signs, chosen.only)
    places = await inbox.waiting_at(*about, limit=chosen.most, after=chosen.after)
    if len(places) < chosen.most:
        return places, 0
    return places, await inbox.count_behind(*about, places[-1])


async def find(session: Session, actor: Actor, word: str) -> Found:
    """The jobs that an id, an address, a domain or a provider's word leads to."""
    if "\x00" in word:
        raise Invalid("q", "a word holds no NUL character")
    ids = await found.jobs_by(session, word)
    if ids:
        return Found(await inbox.entries_of(session, ids))
    return Found([], await _hint(session, actor, word.strip()))


async def _hint(session: Session, actor: Actor, word: str) -> str | None:
    """Of Stripe's ids we keep some; the others lead on in Stripe's dashboard."""
    if word.startswith(_ELSEWHERE):
        return (
            f"No order here was paid by {word}. Open it in Stripe's dashboard and look"
            " for its payment (pi_...) or customer (cus_...)."
        )
    if not word.startswith("pi_") or not actor.platform:
        return None
    listed = await payments.unclaimed_by(session, word)
    if listed is None:
        return None
    if listed.status != UnclaimedStatus.LISTED:
        return f"{word} was a payment that nobody claimed; it is {listed.status}."
    return (
        f"{word} is a payment that nobody claimed: {to_decimal(listed.amount)}"
        f" {listed.currency.upper()}. Make the order or the refund of {listed.id}:"
        " mpanel inbox payments."
    )


async def orphans(session: Session, window: Window) -> Orphans:
    """What providers have and our ledger has not, and what nobody is sure of."""
    listed = await alerts.open_of(session, ORPHAN)
    return Orphans(listed, await inbox.doubts(session, window))


async def _one(session: Session, actor: Actor, ruling: Ruling, job_id: UUID) -> Outcome:
    try:
        if ruling.act in jobs.ABORTS:
            scope = Scope.ITEM if ruling.act is Act.ABORT_ITEM else Scope.ORDER
            made = await decisions.abort(
                session, actor, job_id, scope=scope, why=ruling.why
            )
        else:
            wish = Wish(ruling.act, ruling.why, ruling.step, ruling.correction)
            made = await decisions.go_on(session, actor, job_id, wish)
    except StepUpRequired:
        raise  # one code more lets the whole ruling pass
    except DomainError as refused:
        # A rollback would forget what the decisions before this one say.
        session.expunge_all()
        await session.rollback()
        return Outcome(job_id, refused=refused)
    return Outcome(job_id, made)


async def _group(session: Session, cause: str, only: Filter) -> Group | None:
    waiting = await inbox.groups(session, only)
    return next((one for one in waiting if one.cause.id == cause), None)


async def _scene(session: Session, job: Job, view: OrderView | None) -> Scene:
    about = [job]
    if job.kind == JobKind.FULFIL_ORDER and view is not None:
        about = list(view.jobs)
    elif view is not None:
        about += [one for _, one in await inbox.needing(session, job)]
    abort = await jobs.open_abort(session, job)
    by_id = {one.id: one for one in view.jobs} if view else {}
    return Scene(
        job=job,
        root=by_id.get(job.parent_id or job.id),
        order=view.order if view else None,
        lines=[
            (item, by_id[item.job_id])
            for item in (view.items if view else ())
            if item.job_id in by_id
        ],
        needing=await inbox.needing(session, job) if view else (),
        effects=await inbox.effects_of(session, about),
        steps=await jobs.steps(session, job.id),
        claim=view.claim if view else None,
        refunds=view.refunds if view else (),
        aborted_by=abort.author if abort else None,
    )


def _sum(scene: Scene, status: RefundStatus) -> Cents:
    return sum(one.amount for one in scene.refunds if one.status == status)


def _money(scene: Scene, order: Order) -> Money:
    made = [one for one in scene.refunds if one.status in GIVEN_BACK]
    refunded = sum(one.amount for one in made)
    by_line = {one.order_item_id: one.amount for one in made}
    claim = scene.claim
    return Money(
        currency=(claim.currency if claim else order.currency).upper(),
        payment_intent_id=claim.stripe_payment_intent_id if claim else None,
        claimed=claim.amount if claim else 0,
        refunded=refunded,
        returning=_sum(scene, RefundStatus.INTENDED),
        failed=_sum(scene, RefundStatus.FAILED),
        settled=_sum(scene, RefundStatus.SETTLED),
        unclaimed=tuple(scene.job.unclaimed),
        lines=tuple(
            Line(item, job, by_line.get(item.id, 0), scene.share(item))
            for item, job in scene.lines
        ),
    )


__all__ = [
    "Chosen",
    "Detail",
    "Doubt",
    "Entry",
    "Filter",
    "Group",
    "Line",
    "Money",
    "Option",
    "Orphans",
    "Outcome",
    "Ruling",
    "decide",
    "detail",
    "find",
    "groups",
    "orphans",
    "rows",
]
