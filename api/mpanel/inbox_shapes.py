"""What the inbox is on the wire."""

from uuid import UUID

from pydantic import Field, model_validator

from api.bodies import Text
from api.mpanel.decisions import DecisionOut, Why
from api.mpanel.jobs import JobOut, StepOut
from api.schemas import CamelModel, Page, Paging, Timestamp
from api.services import inbox
from api.services.inbox import Chosen, Detail, Filter, Ruling
from models.causes import Suggestion
from models.jobs import Unclaimed
from models.money import to_number
from models.queries.inbox import Place
from models.states import Act, EffectState, JobKind, JobStatus, OrderStatus


class CauseOut(CamelModel):
    """Why, in words; `act` is the right one as a rule, `advice` says how."""

    id: str
    title: str
    means: str
    origin: str
    checks: list[str]
    act: Suggestion
    advice: str


class GroupOut(CamelModel):
    """Jobs that wait for one cause; `oldest`: since when the first of them does."""

    cause: CauseOut
    count: int
    oldest: Timestamp


class StandstillOut(CamelModel):
    queues: list[str]
    title: str
    means: str
    advice: str


class GroupsOut(CamelModel):
    """`standstill`: queues that no worker serves; what waits there is not in `items`
    as long as no worker is there to write it down."""

    items: list[GroupOut]
    total: int
    standstill: StandstillOut | None


class CustomerOut(CamelModel):
    """`mailUndeliverable`: what we write to this address comes back."""

    id: UUID
    name: str
    email: str
    mail_undeliverable: bool


class UnclaimedOut(CamelModel):
    """A payment of which a person has to say whether it is for this order."""

    payment_intent_id: str
    amount: float
    currency: str

    @classmethod
    def of(cls, payment: Unclaimed) -> "UnclaimedOut":
        """Its amount as the documents write money."""
        return cls(
            payment_intent_id=payment.payment_intent_id,
            amount=to_number(payment.amount),
            currency=payment.currency,
        )


class EntryOut(CamelModel):
    """A job in the inbox. `taken`: what the customer paid and has not got back;
    `unclaimed`: what they paid, and is not claimed for the order yet."""

    job: JobOut
    cause: CauseOut | None
    provider: str | None
    error_class: str | None
    error_code: str | None
    undoing: bool
    customer: CustomerOut | None
    domain: str | None
    taken: float
    currency: str | None
    unclaimed: list[UnclaimedOut]

    @classmethod
    def of(cls, entry: inbox.Entry) -> "EntryOut":
        """The row, in the words of the surface."""
        cause, customer = entry.cause, entry.customer
        return cls(
            job=JobOut.of(entry.job),
            cause=CauseOut.model_validate(cause) if cause else None,
            provider=entry.job.provider,
            error_class=entry.job.error_class,
            error_code=entry.job.error_code,
            undoing=entry.job.undoing,
            customer=CustomerOut.model_validate(customer) if customer else None,
            domain=entry.domain,
            taken=to_number(entry.taken),
            currency=entry.currency,
            unclaimed=[UnclaimedOut.of(one) for one in entry.job.unclaimed],
        )


class FoundOut(Page[EntryOut]):
    """`hint`: what else leads on, where the word itself leads to no job."""

    hint: str | None

    @classmethod
    def told(cls, found: inbox.Found) -> "FoundOut":
        """The jobs, or the hint."""
        entries = [EntryOut.of(one) for one in found.entries]
        return cls(items=entries, total=len(entries), hint=found.hint)


class LineOut(CamelModel):
    """`wouldRefund`: what an abort of this item alone would give back."""

    item_id: UUID
    code: str
    job_id: UUID
    state: JobStatus
    amount: float
    refunded: float
    would_refund: float


class MoneyOut(CamelModel):
    """`returning`: refunds that are decided and not yet made at the provider.

    `failed`: those that Stripe could not make after all; give them back by other
    means. `settled`: of `refunded`, what was given back by hand, as an operator says.
    """

    currency: str
    payment_intent_id: str | None
    claimed: float
    refunded: float
    returning: float
    failed: float
    settled: float
    taken: float
    unclaimed: list[UnclaimedOut]
    lines: list[LineOut]

    @classmethod
    def of(cls, money: inbox.Money) -> "MoneyOut":
        """Amounts as the documents write money."""
        return cls(
            currency=money.currency,
            payment_intent_id=money.payment_intent_id,
            claimed=to_number(money.claimed),
            refunded=to_number(money.refunded),
            returning=to_number(money.returning),
            failed=to_number(money.failed),
            settled=to_number(money.settled),
            taken=to_number(money.taken),
            unclaimed=[UnclaimedOut.of(one) for one in money.unclaimed],
            lines=[
                LineOut(
                    item_id=line.item.id,
                    code=line.item.code,
                    job_id=line.job.id,
                    state=JobStatus(line.job.status),
                    amount=to_number(line.item.amount),
                    refunded=to_number(line.refunded),
                    would_refund=to_number(line.would_refund),
                )
                for line in money.lines
            ],
        )


class EffectOut(CamelModel):
    """Something at a provider. `intended`: begun, and nobody knows whether it is."""

    provider: str
    kind: str
    reference: str
    remote_id: str | None
    account: str
    state: EffectState
    job_id: UUID
    updated_at: Timestamp


class OptionOut(CamelModel):
    """An act: whether it is allowed, and sentences on what it would do."""

    act: Act
    allowed: bool
    why_not: str | None
    would: list[str]
    refund: float

    @classmethod
    def of(cls, option: inbox.Option) -> "OptionOut":
        """Its refund as the documents write money."""
        return cls(
            act=option.act,
            allowed=option.allowed,
            why_not=option.why_not,
            would=list(option.would),
            refund=to_number(option.refund),
        )


class OrderOut(CamelModel):
    id: UUID
    job_id: UUID | None
    state: OrderStatus
    total: float
    currency: str


class DetailOut(EntryOut):
    """Everything to decide about one job. `parked`: the steps that wait."""

    order: OrderOut | None
    money: MoneyOut | None
    effects: list[EffectOut]
    steps: list[StepOut]
    decisions: list[DecisionOut]
    parked: list[str]
    acts: list[OptionOut]

    @classmethod
    def told(cls, detail: Detail) -> "DetailOut":
        """The whole story."""
        return cls(
            **EntryOut.of(detail.entry).model_dump(),
            order=_order(detail),
            money=MoneyOut.of(detail.money) if detail.money else None,
            effects=[EffectOut.model_validate(one) for one in detail.effects],
            steps=[StepOut.model_validate(one) for one in detail.steps],
            decisions=[DecisionOut.model_validate(one) for one in detail.decisions],
            parked=list(detail.parked),
            acts=[OptionOut.of(one) for one in detail.options],
        )


def _order(detail: Detail) -> OrderOut | None:
    order = detail.order
    if order is None:
        return None
    return OrderOut(
        id=order.id,
        job_id=detail.root.id if detail.root else None,
        state=OrderStatus(order.status),
        total=to_number(order.total),
        currency=order.currency.upper(),
    )


class FilterIn(CamelModel):
    kind: JobKind | None = None
    tenant_id: UUID | None = None
    provider: Text | None = None

    @property
    def only(self) -> Filter:
        """For the queries."""
        return Filter(self.kind, self.tenant_id, self.provider)


class InboxPaging(Paging, FilterIn):
    cause: Text | None = None


class PlaceIO(CamelModel):
    """Where the last job that was decided stood among those that wait."""

    since: Timestamp
    job_id: UUID


class DecideIn(CamelModel):
    """Either `jobIds` or a `cause`, all of which the filter lets through: at most
    `most` at once, from behind `after` on, as the answer before this one told it."""

    act: Act
    reason: Why
    job_ids: list[UUID] = Field(default_factory=list, max_length=inbox.MOST_AT_ONCE)
    cause: Text | None = None
    only: FilterIn = Field(default_factory=FilterIn)
    most: int = Field(default=inbox.MOST_AT_ONCE, ge=1, le=inbox.MOST_AT_ONCE)
    after: PlaceIO | None = None
    step: Text | None = None
    correction: dict[Text, Text] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names_jobs(self) -> "DecideIn":
        if bool(self.job_ids) == (self.cause is not None):
            raise ValueError("want either jobIds or a cause")
        return self

    @property
    def ruling(self) -> Ruling:
        """What is decided."""
        return Ruling(self.act, self.reason, self.step, self.correction)

    @property
    def chosen(self) -> Chosen:
        """About which jobs."""
        after = Place(self.after.since, self.after.job_id) if self.after else None
        return Chosen(self.job_ids, self.cause, self.only.only, after, self.most)


class RefusalOut(CamelModel):
    code: str
    message: str


class OutcomeOut(CamelModel):
    """Of one job: the decision, or why there is none."""

    job_id: UUID
    decision: DecisionOut | None
    refused: RefusalOut | None

    @classmethod
    def of(cls, outcome: inbox.Outcome) -> "OutcomeOut":
        """One line of the answer."""
        made, refused = outcome.decision, outcome.refused
        return cls(
            job_id=outcome.job_id,
            decision=DecisionOut.model_validate(made) if made else None,
            refused=RefusalOut.model_validate(refused) if refused else None,
        )


class DecidedAllOut(CamelModel):
    """`left`: how many more of the cause wait; send the same with this `after`."""

    items: list[OutcomeOut]
    decided: int
    refused: int
    left: int
    after: PlaceIO | None

    @classmethod
    def of(cls, made: inbox.Ruled) -> "DecidedAllOut":
        """The answer, job by job."""
        refused = sum(one.refused is not None for one in made.outcomes)
        return cls(
            items=[OutcomeOut.of(one) for one in made.outcomes],
            decided=len(made.outcomes) - refused,
            refused=refused,
            left=made.left,
            after=PlaceIO.model_validate(made.after) if made.after else None,
        )


class OrphanOut(CamelModel):
    """There, by the provider's own listing, and unknown to our ledger."""

    id: UUID
    message: str
    created_at: Timestamp


class DoubtOut(CamelModel):
    """In our ledger, and nobody knows whether it is there."""

    effect: EffectOut
    job: JobOut


class OrphansOut(CamelModel):
    unknown: list[OrphanOut]
    unsure: Page[DoubtOut]

    @classmethod
    def of(cls, found: inbox.Orphans) -> "OrphansOut":
        """Both lists."""
        doubts = [
            DoubtOut(
                effect=EffectOut.model_validate(one.effect), job=JobOut.of(one.job)
            )
            for one in found.unsure.items
        ]
        return cls(
            unknown=[OrphanOut.model_validate(one) for one in found.unknown],
            unsure=Page[DoubtOut](items=doubts, total=found.unsure.total),
        )
