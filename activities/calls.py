"""What crosses into Temporal: ids and plain values, nothing else."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from models.states import Act, JobKind, JobStatus, Reason


@dataclass(frozen=True)
class JobRef:
    """The input of every workflow. What the job is about stands in its row.

    `abort`: the decision with which this run begins, to undo and nothing else.
    """

    job_id: UUID
    tenant_id: UUID
    subject_id: UUID
    kind: JobKind
    generation: int = 1
    abort: UUID | None = None


# So many acts of a CloudPod, then a history of its own for the next ones.
ACTS = 100


@dataclass(frozen=True)
class Life:
    """What one history of a CloudPod's life hands to the next.

    `waiting`: acts in their order; `known`: runs that were taken lately; `acts`: how
    many a history holds.
    """

    cloudpod_id: UUID
    waiting: tuple[JobRef, ...] = ()
    known: tuple[str, ...] = ()
    acts: int = ACTS


@dataclass(frozen=True)
class StepCall:
    """The input of every step and every undo.

    `patience`: seconds of trouble at a provider that the step endures before it parks.
    """

    job_id: UUID
    tenant_id: UUID
    subject_id: UUID
    generation: int
    step: str
    patience: float
    item_id: UUID | None = None


@dataclass(frozen=True)
class ConsoleCall:
    """Who asks for a look at which screen; `id` is of this one asking."""

    tenant_id: UUID
    cloudpod_id: UUID
    id: UUID

    @property
    def bound(self) -> str:
        """What the ticket is sealed for."""
        return f"console:{self.tenant_id}:{self.cloudpod_id}:{self.id}"


@dataclass(frozen=True)
class ItemPlan:
    """A line of a paid order and the job that delivers it."""

    job_id: UUID
    subject_id: UUID
    kind: JobKind
    generation: int
    status: JobStatus
    summary: str
    needs: UUID | None = None


@dataclass(frozen=True)
class Origin:
    """Where a failure comes from: by these words its cause is found.

    `provider` and `error_class` are empty when it is no provider's; `code` is a stable
    word of theirs or ours.
    """

    provider: str = ""
    error_class: str = ""
    code: str = ""


NOWHERE: Final = Origin()


@dataclass(frozen=True)
class Failure:
    """Why a step gave up. `message` is redacted and short."""

    reason: Reason
    message: str
    origin: Origin = NOWHERE


@dataclass(frozen=True)
class Parking:
    """A step that waits for a person; `round` counts its parkings in this run."""

    ref: JobRef
    step: str
    round: int
    failure: Failure


@dataclass(frozen=True)
class Resuming:
    """What was decided about a parked step, and which steps are still parked.

    `waits_for`: why the first of those is. The rest is for a step that is skipped: see
    `Step`.
    """

    ref: JobRef
    step: str
    act: Act
    still_parked: tuple[str, ...] = ()
    waits_for: Failure | None = None
    decision_id: UUID | None = None
    leaves: tuple[str, ...] = ()
    done_by_hand: bool = False


@dataclass(frozen=True)
class Decided:
    """A decision as it is delivered to the run; its row was written before."""

    id: UUID
    act: Act
    step: str | None = None


@dataclass(frozen=True)
class SignalReceived:
    """A signal from the Temporal UI: its sender is unknown, its code may tell."""

    ref: JobRef
    act: Act
    step: str | None = None
    code: str | None = None
    number: int = 0
