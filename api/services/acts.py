"""What an operator may do about a job, and what each act would do, told before it is
done. `decisions` asks the same rules before it writes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from models.causes import CAUSES
from models.effects import Effect
from models.jobs import Job, JobStep
from models.money import Cents, share_of, to_decimal
from models.orders import Order, OrderItem
from models.payments import PaymentClaim, PaymentRefund
from models.queries import jobs
from models.states import (
    OPEN_JOBS,
    UNDONE_JOBS,
    Act,
    EffectState,
    JobKind,
    JobStatus,
    Reason,
    RefundStatus,
    StepStatus,
)
from workflows.engine.steps import Step, step_of
from workflows.names import NAMES
from workflows.registry import WORKFLOWS

PROVE_PAYMENT: Final = "prove_payment"
_STEPS: Final[Mapping[str, Sequence[Step]]] = {
    story.__name__: (*getattr(story, "STEPS", ()), *getattr(story, "WAY_BACK", ()))
    for story in WORKFLOWS
}
_DONE: Final = (StepStatus.SUCCEEDED, StepStatus.SKIPPED)


@dataclass(frozen=True)
class Option:
    """One act. `would`: what it does, in sentences; `refund` in minor units. `fresh`:
    it wants a second factor of this moment, where one is demanded."""

    act: Act
    why_not: str | None
    would: tuple[str, ...]
    refund: Cents = 0
    fresh: bool = False

    @property
    def allowed(self) -> bool:
        """Whether it would be accepted now."""
        return self.why_not is None


@dataclass(frozen=True)
class Scene:
    """Everything that the acts on one job are told from.

    `lines`: the order's items with their jobs; `needing`: those that fall with this
    job's own; `aborted_by`: whose abort of it stands already.
    """

    job: Job
    root: Job | None = None
    order: Order | None = None
    lines: Sequence[tuple[OrderItem, Job]] = ()
    needing: Sequence[tuple[OrderItem, Job]] = ()
    effects: Sequence[Effect] = ()
    steps: Sequence[JobStep] = ()
    claim: PaymentClaim | None = None
    refunds: Sequence[PaymentRefund] = field(default=())
    aborted_by: str | None = None

    @property
    def whole(self) -> bool:
        """Whether the job is the order's own."""
        return self.job.kind == JobKind.FULFIL_ORDER

    @property
    def parked(self) -> list[str]:
        """The steps that wait for a person."""
        found = [
            one.name
            for one in self.steps
            if one.status == StepStatus.PARKED and one.generation == self.job.generation
        ]
        here = self.job.step
        return found if here is None or here in found else [here, *found]

    def share(self, item: OrderItem) -> Cents:
        """What the item's abort would give back: nothing twice."""
        done = any(one.order_item_id == item.id for one in self.refunds)
        if self.claim is None or self.order is None or done:
            return 0
        return share_of(self.claim.amount, item.amount, self.order.total)

    @property
    def rest(self) -> Cents:
        """What is left of the payment."""
        if self.claim is None:
            return 0
        return self.claim.amount - sum(one.amount for one in self.refunds)


def going_on_refused(job: Job, act: Act, step: str | None, *, parked: bool) -> str:
    """Why the step may be neither tried again nor skipped; empty: it may."""
    waits = job.status == JobStatus.NEEDS_ATTENTION
    if not waits and not has_expired(job):
        return f"the job is {job.status}"
    if run_is_gone(job) or has_expired(job):
        skips = act is Act.SKIP
        return "no run is left: retry or abort it" if skips else ""
    if step is None or not parked:
        return f"{step or 'no step'} does not wait for a decision"
    if act is Act.SKIP and not skippable(job, step):
        return f"{step} cannot be skipped"
    return ""


def abort_refused(job: Job, *, order_open: bool) -> str:
    """Why the job may not be aborted any more; empty: it may."""
    if job.status == JobStatus.SUCCEEDED and order_open:
        return ""
    over = job.status not in OPEN_JOBS or job.status == JobStatus.UNDOING
    return f"the job is {job.status}" if over else ""


def run_is_gone(job: Job) -> bool:
    """No run is left to tell: a new generation does what was decided."""
    return job.status == JobStatus.NEEDS_ATTENTION and job.reason in jobs.RUN_GONE


def has_expired(job: Job) -> bool:
    """The order was not paid in time; a retry revives it."""
    return (job.status, job.reason) == (JobStatus.FAILED, Reason.PAYMENT_EXPIRED)


def skippable(job: Job, step: str) -> bool:
    """Whether the story may go on without the step."""
    found = step_of(story_of(job), step)
    return found is not None and found.skippable


def settles_money(job: Job, act: Act, step: str | None) -> bool:
    """Whether it says that money was given back by hand: as good as a refund."""
    found = step_of(story_of(job), step or "")
    return act is Act.SKIP and found is not None and found.done_by_hand


def story_of(job: Job) -> Sequence[Step]:
    """The steps of its workflow."""
    return _STEPS[NAMES[JobKind(job.kind)]]


def options(scene: Scene) -> tuple[Option, ...]:
    """Every act, in the order in which one thinks of them."""
    return (_retry(scene), _skip(scene), _abort_item(scene), _abort_order(scene))


def _retry(scene: Scene) -> Option:
    job, parked = scene.job, scene.parked
    if has_expired(job):
        would = ["The order is revived, and Stripe is asked for its payment again."]
    elif run_is_gone(job) and scene.aborted_by:
        would = ["A new run begins and goes on undoing, since it was aborted."]
    elif run_is_gone(job):
        would = [
            f"A new run (generation {job.generation + 1}) begins; it adopts what exists"
            " and makes what is missing."
        ]
    else:
        would = [f"{_step(job, step)} is tried again at once." for step in parked]
        would += _then(scene)
    why_not = going_on_refused(job, Act.RETRY, job.step, parked=bool(parked))
    if job.reason in (Reason.RUN_STUCK, Reason.NO_WORKER):
        why_not = "nothing waits for a decision: it goes on when the cause is gone"
    return Option(Act.RETRY, why_not or None, tuple(would))


def _skip(scene: Scene) -> Option:
    job = scene.job
    why_not = going_on_refused(job, Act.SKIP, job.step, parked=bool(scene.parked))
    step = step_of(story_of(job), job.step or "")
    would = [f"{_step(job, job.step or '')} is left out for good."]
    if step is None or not step.skippable:
        return Option(Act.SKIP, why_not or None, (*would, *_then(scene)))
    if step.done_by_hand:
        told = (step.if_skipped, *_left(scene, step))
        return Option(Act.SKIP, why_not or None, told, fresh=True)
    told = (*would, step.if_skipped, *_left(scene, step), *_then(scene))
    return Option(Act.SKIP, why_not or None, told)


def _left(scene: Scene, step: Step) -> list[str]:
    """What stays, and what money counts as given back, if the step is skipped."""
    told = [
        f"Left for you to take away by hand: {thing(one)}."
        for one in scene.effects
        if one.owner_id == scene.job.subject_id
        and one.kind in step.leaves
        and one.state != EffectState.REMOVED
    ]
    if step.done_by_hand:
        told += [
            f"{to_decimal(one.amount)} {one.currency.upper()} of"
            f" {one.stripe_payment_intent_id} count as given back by hand."
            for one in scene.refunds
            if one.status == RefundStatus.INTENDED
        ]
    return told


def _abort_item(scene: Scene) -> Option:
    job = scene.job
    if scene.whole:
        return Option(
            Act.ABORT_ITEM, "this job is the order itself: abort the order", ()
        )
    why_not = _no_abort(scene, job)
    would = [_end_of(scene, job)]
    would += [
        f"{item.code} needs it: {_end_of(scene, one, small=True)}"
        for item, one in scene.needing
        if one.status not in UNDONE_JOBS
    ]
    falling = {job.id} | {one.id for _, one in scene.needing}
    refund = sum(
        scene.share(item)
        for item, one in scene.lines
        if one.id in falling and (one.id == job.id or one.status not in UNDONE_JOBS)
    )
    would += _money(scene, refund)
    if scene.order is not None:
        left = [one for _, one in scene.lines if one.id not in falling]
        kept = any(one.status not in UNDONE_JOBS for one in left)
        would.append(
            "The rest of the order is delivered."
            if kept
            else "Nothing else of the order is left, so the order ends as failed."
        )
    return Option(Act.ABORT_ITEM, why_not, tuple(would), refund, fresh=True)


def _abort_order(scene: Scene) -> Option:
    root = scene.root
    if root is None:
        why_not = "this job belongs to no order; abort the item"
        return Option(Act.ABORT_ORDER, why_not, ())
    would = [
        f"{item.code}: {_end_of(scene, one, small=True)}"
        for item, one in reversed(scene.lines)
        if one.status not in UNDONE_JOBS
    ]
    would += _money(scene, scene.rest)
    paid = "failed" if scene.claim is not None else "cancelled"
    would.append(f"The order ends as {paid}, and the customer is told.")
    refused = _no_abort(scene, root)
    return Option(Act.ABORT_ORDER, refused, tuple(would), scene.rest, fresh=True)


def _no_abort(scene: Scene, job: Job) -> str | None:
    if scene.aborted_by and job.id == scene.job.id and not run_is_gone(job):
        return f"{scene.aborted_by} has aborted it already: it is being undone"
    open_ = scene.root is not None and scene.root.status in OPEN_JOBS
    return abort_refused(job, order_open=open_) or None


def _end_of(scene: Scene, job: Job, *, small: bool = False) -> str:
    """What an abort does with one job, from what it has made."""
    made = [
        one
        for one in reversed(scene.effects)
        if _is_of(one, job) and one.state != EffectState.REMOVED
    ]
    undoes = any(step.undo for step in story_of(job))
    if job.status in (JobStatus.WAITING, JobStatus.PENDING) and not made:
        said = "it has not begun, and is cancelled."
    elif not undoes:
        said = "what it did stays as it is; the job ends as failed."
    elif not made:
        said = "nothing of it exists at a provider; the job ends as failed."
    else:
        removed = ", then ".join(thing(one) for one in made)
        live = " although it is live" if job.status == JobStatus.SUCCEEDED else ""
        said = f"taken back is {removed}{live}."
    return said if small else said[:1].upper() + said[1:]


def _is_of(effect: Effect, job: Job) -> bool:
    """A CloudPod's guest stays its order's, also when a later act has made it anew."""
    if job.kind == JobKind.CLOUDPOD_PROVISION:
        return effect.owner_id == job.subject_id
    return effect.job_id == job.id


def _money(scene: Scene, refund: Cents) -> list[str]:
    if scene.order is None:
        return []
    if scene.claim is None:
        told = ["No payment is claimed for the order, so nothing is refunded."]
        return told + [
            f"{to_decimal(one.amount)} {one.currency} of {one.payment_intent_id} stay"
            " at Stripe, listed as a payment that nobody claimed."
            for one in scene.job.unclaimed
        ]
    money = f"{to_decimal(refund)} {scene.claim.currency.upper()}"
    of = scene.claim.stripe_payment_intent_id
    if not refund:
        return [f"Nothing is left to refund of {of}."]
    return [f"{money} of {of} are refunded, once everything is taken back."]


def _then(scene: Scene) -> list[str]:
    """The steps that are still to come, if the story goes on."""
    if scene.job.undoing:
        return ["After that the rest is undone, and the money given back."]
    begun = {one.name.partition(":")[0] for one in scene.steps if one.status in _DONE}
    begun |= {step.partition(":")[0] for step in scene.parked}
    left = [step.summary for step in story_of(scene.job) if step.id not in begun]
    return [f"Then: {'; '.join(left)}."] if left and not scene.whole else []


def _step(job: Job, key: str) -> str:
    """`create_site` (Create the site on the hosting server)"""
    undo = key.startswith("undo:")
    name = key.removeprefix("undo:").partition(":")[0]
    for step in story_of(job):
        if step.id == name:
            return f"{key} ({step.undo_summary if undo else step.summary})"
    return key or "no step"


def thing(effect: Effect) -> str:
    """What was made, in words: the DNS record acme.example at the name server."""
    facts = effect.facts
    where = CAUSES.name_of(effect.provider)
    match effect.kind:
        case "site":
            user = effect.remote_id or "its user"
            what = f"the site {facts.get('domain', '')} of {user}"
            where = effect.account or where
        case "record":
            what = f"the DNS record {facts.get('name', effect.reference)}"
        case "schedule":
            what = "the daily backup schedule"
        case "archive":
            what = f"the archive {facts.get('archive', effect.reference)}"
        case kind:
            what = f"the {kind} {effect.remote_id or effect.reference}"
    there = " (if it is there)" if effect.state == EffectState.INTENDED else ""
    return f"{what} at {where}{there}"
