"""A job: one piece of durable work that people may see. The table is the outbox, too:
a root that is `pending` is started by whoever finds it."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Index, text
from sqlmodel import Field

from models.base import Row, TenantRow, document, moment, utc_now, word
from models.money import Cents
from models.states import (
    OPEN_JOBS,
    Act,
    DecisionStatus,
    JobKind,
    JobStatus,
    Reason,
    StepStatus,
)

_UNCLAIMED: Final = "unclaimed"
_OPEN = "({})".format(", ".join(f"'{status}'" for status in OPEN_JOBS))


@dataclass(frozen=True)
class Unclaimed:
    """A payment that may be an order's, in minor units; `currency` in upper case."""

    payment_intent_id: str
    amount: Cents
    currency: str


class Job(TenantRow, table=True):
    """`generation` n > 1 is a new run that adopts what `effects` shows.

    `exclusive`: at most one open job per subject. `input`: ids and plain values only.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        Index(
            "one_open_exclusive_job",
            "subject_id",
            unique=True,
            postgresql_where=text(f"exclusive and status in {_OPEN}"),
        ),
        # A CloudPod is asked for several things at once, and for each of them once.
        Index(
            "one_open_act",
            "subject_id",
            "kind",
            unique=True,
            postgresql_where=text(f"kind like 'cloudpod_%' and status in {_OPEN}"),
        ),
        Index(
            "open_jobs",
            "status",
            "created_at",
            postgresql_where=text(f"status in {_OPEN}"),
        ),
        Index("jobs_to_close", "ended_at", postgresql_where=text("not timeline_final")),
        # For a super_admin, and for everybody else.
        Index(
            "jobs_in_inbox",
            "updated_at",
            "id",
            postgresql_where=text(f"reason is not null and status in {_OPEN}"),
        ),
        Index(
            "jobs_in_inbox_of_tenant",
            "tenant_id",
            "updated_at",
            "id",
            postgresql_where=text(f"reason is not null and status in {_OPEN}"),
        ),
        Index("jobs_of_tenant", "tenant_id", text("created_at desc")),
    )

    kind: JobKind = word()
    status: JobStatus = word(default=JobStatus.PENDING)
    subject_id: UUID = Field(index=True)
    parent_id: UUID | None = Field(default=None, index=True)
    order_id: UUID | None = Field(default=None, index=True)
    exclusive: bool = True
    batch: bool = False
    input: dict[str, Any] = document(default_factory=dict)
    generation: int = 1
    started_generation: int = 0
    requested_by: UUID | None = None
    step: str | None = None
    reason: Reason | None = word(default=None)
    message: str | None = None
    # Where the failure came from: by `reason` and these its cause is found.
    provider: str | None = None
    error_class: str | None = None
    error_code: str | None = None
    undoing: bool = False
    updated_at: datetime = moment(default_factory=utc_now)
    started_at: datetime | None = moment(default=None)
    ended_at: datetime | None = moment(default=None)
    # When the timeline was last rebuilt from Temporal's own history.
    reconciled_at: datetime | None = moment(default=None)
    # It was, once more after the end.
    timeline_final: bool = False

    def renew(self) -> None:
        """The next generation: a new run, which adopts or undoes what is there."""
        self.generation += 1
        self.status, self.ended_at = JobStatus.PENDING, None
        self.go_on()
        self.timeline_final = self.undoing = False
        self.updated_at = utc_now()

    def blame(self, provider: str = "", error_class: str = "", code: str = "") -> None:
        """Whose failure it waits for, as far as anybody said."""
        self.provider, self.error_class = provider or None, error_class or None
        self.error_code = code or None

    def keep_unclaimed(self, payments: Sequence["Unclaimed"]) -> None:
        """What the customer paid, and nobody may say yet that it is for the order."""
        others = {key: told for key, told in self.input.items() if key != _UNCLAIMED}
        kept = [asdict(one) for one in payments]
        self.input = others | ({_UNCLAIMED: kept} if kept else {})

    @property
    def unclaimed(self) -> list["Unclaimed"]:
        """As it was kept, while a person has to decide about it."""
        if self.reason != Reason.PAYMENT_AMBIGUOUS:
            return []
        return [Unclaimed(**one) for one in self.input.get(_UNCLAIMED, ())]

    def go_on(self) -> None:
        """It waits for nothing any more."""
        self.step = self.reason = self.message = None
        self.blame()

    @property
    def workflow_id(self) -> str:
        return workflow_id(JobKind(self.kind), self.id, self.generation)


def workflow_id(kind: JobKind, job_id: UUID, generation: int) -> str:
    """`<kind>:<job uuid>`, and `:r<n>` for a later generation."""
    suffix = f":r{generation}" if generation > 1 else ""
    return f"{kind}:{job_id}{suffix}"


def seen_hash(job: Job) -> str:
    """Of what a person saw when deciding: a later state is another decision."""
    seen = (
        f"{job.id}:{job.generation}:{job.status}:{job.step}:{job.reason}:{job.message}"
    )
    return hashlib.sha256(seen.encode()).hexdigest()


def code_hash(code: str) -> str:
    """One-time codes are stored as hashes only."""
    return hashlib.sha256(code.encode()).hexdigest()


class JobStep(TenantRow, table=True):
    """One line of the timeline. (`generation`, `scheduled_at`, `tried_at`, `phase`)
    orders the writes, so a late one never overwrites a newer. (Temporal's `attempt`
    cannot: it begins anew when somebody retries by hand.)"""

    __tablename__ = "job_steps"
    __table_args__ = (Index("step_of_job", "job_id", "name", unique=True),)

    job_id: UUID
    name: str
    status: StepStatus = word()
    generation: int
    scheduled_at: datetime = moment()
    tried_at: datetime = moment()
    phase: int
    tries: int
    started_at: datetime | None = moment(default=None)
    ended_at: datetime | None = moment(default=None)
    next_retry_at: datetime | None = moment(default=None)
    code: str | None = None
    message: str | None = None


class Decision(TenantRow, table=True):
    """An operator's word, written before anybody acts on it. Its id is the update's id.

    `verified` is false for a signal without a code: nobody knows who sent it.
    """

    __tablename__ = "decisions"

    job_id: UUID = Field(foreign_key="jobs.id", index=True)
    generation: int
    act: Act = word()
    step: str | None = None
    why: str
    correction: dict[str, Any] = document(default_factory=dict)
    author_id: UUID | None = None
    author: str
    via: str = "api"
    verified: bool = True
    # Of what was decided upon: job, generation, step, reason and message as shown.
    seen_hash: str = ""
    status: DecisionStatus = word(default=DecisionStatus.RECORDED, index=True)
    refused: str | None = None
    delivered_at: datetime | None = moment(default=None)


class DecisionCode(TenantRow, table=True):
    """Given to a named user for one act on one job; burnt by the first use."""

    __tablename__ = "decision_codes"

    code_hash: str = Field(unique=True)
    job_id: UUID = Field(foreign_key="jobs.id")
    act: Act = word()
    step: str | None = None
    seen_hash: str
    author_id: UUID
    author: str
    expires_at: datetime = moment()
    used_at: datetime | None = moment(default=None)


class ProviderAccount(Row, table=True):
    """An account that told us to wait: nobody calls it before `blocked_until`."""

    __tablename__ = "provider_accounts"

    account: str = Field(unique=True)
    blocked_until: datetime = moment()
    # Since when it has been told so again and again, without a minute's pause.
    blocked_since: datetime = moment(default_factory=utc_now)
