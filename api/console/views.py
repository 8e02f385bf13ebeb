"""What the page about one job shows, and which parts of it are kept live."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from api.auth.actor import Actor
from api.auth.demand import FRESH
from api.console import words
from api.console.pages import text_of
from api.services import acts
from api.services.inbox import Detail
from models.base import utc_now
from models.effects import Effect
from models.errors import DomainError
from models.jobs import JobStep, seen_hash
from models.states import OPEN_JOBS, Act, JobKind, JobStatus, StepStatus

# Each is a template in `live/` and an element of the page with this id.
LIVE: Final = ("state", "acts", "timeline", "facts", "decisions")
_UNDO: Final = "undo:"


@dataclass(frozen=True)
class Line:
    """One step, done or to come. `word` and `tone` as in `words`."""

    name: str
    summary: str
    word: str
    tone: str
    tries: int = 0
    at: datetime | None = None
    next_retry_at: datetime | None = None
    message: str | None = None


@dataclass(frozen=True)
class JobView:
    """`done`: what was decided a moment ago. `refused`, `typed`: a form that failed."""

    detail: Detail
    actor: Actor
    done: Act | None = None
    refused: DomainError | None = None
    typed: Mapping[str, str] = field(default_factory=dict)

    @property
    def suggested(self) -> Act | None:
        """The act that is right, as a rule."""
        cause = self.detail.entry.cause
        return words.BUTTONS.get(cause.act) if cause else None

    @property
    def seen(self) -> str:
        """Of the job as it is shown."""
        return seen_hash(self.detail.entry.job)

    @property
    def wants_code(self) -> bool:
        """Whether what cannot be taken back will ask for a code of the app."""
        at = self.actor.second_factor_at
        stale = at is None or at + FRESH < utc_now()
        return self.actor.second_factor_demanded and stale

    @property
    def wants_payment(self) -> bool:
        """Whether a retry may name the payment that proves the order."""
        return acts.PROVE_PAYMENT in self.detail.parked

    @property
    def open(self) -> bool:
        """Whether anything may still happen."""
        return self.detail.entry.job.status in OPEN_JOBS

    @property
    def timeline(self) -> list[Line]:
        """What has happened, then what is to come."""
        return [*self._begun(), *self._to_come()]

    def thing(self, effect: Effect) -> str:
        """What was made, and where, in words."""
        told = acts.thing(effect)
        return told[:1].upper() + told[1:]

    def live(self) -> dict[str, str]:
        """{id of the element: what stands in it now}"""
        return {
            name: text_of(f"live/{name}.html", view=self, words=words) for name in LIVE
        }

    def _begun(self) -> Iterator[Line]:
        story = {step.id: step for step in acts.story_of(self.detail.entry.job)}
        for row in self.detail.steps:
            undoes = row.name.startswith(_UNDO)
            step = story.get(row.name.removeprefix(_UNDO).partition(":")[0])
            summary = step.summary if step else row.name
            if step and undoes:
                summary = step.undo_summary or f"Take back: {step.summary}"
            yield _line(row, summary)

    def _to_come(self) -> Iterator[Line]:
        """Of an order's own story it depends on its lines what comes."""
        job = self.detail.entry.job
        undone = job.undoing or job.status == JobStatus.UNDOING or not self.open
        if undone or job.kind == JobKind.FULFIL_ORDER:
            return
        begun = {row.name.partition(":")[0] for row in self.detail.steps}
        for step in acts.story_of(job):
            if step.id not in begun:
                yield Line(step.id, step.summary, "to come", "quiet")


def _line(row: JobStep, summary: str) -> Line:
    word, tone = words.STEPS[row.status]
    told = row.status in (StepStatus.PARKED, StepStatus.RETRYING, StepStatus.SKIPPED)
    return Line(
        name=row.name,
        summary=summary,
        word=word,
        tone=tone,
        tries=row.tries,
        at=row.ended_at or row.started_at,
        next_retry_at=row.next_retry_at,
        message=row.message if told else None,
    )
