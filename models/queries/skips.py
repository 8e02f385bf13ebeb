"""What our rows say after a step was left out: no less, and nothing that is not so."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid5

from sqlmodel import col, select

from models.audit import AuditEvent
from models.base import utc_now
from models.database import Session
from models.effects import Effect
from models.jobs import Decision, Job, JobStep
from models.queries import alerts, refunds
from models.queries.alerts import Finding
from models.queries.audit import By
from models.states import EffectState, StepStatus

LEFT_BEHIND: Final = "left_behind"
# After the line of the try that failed, and before that of another one.
_PHASE: Final = 2


@dataclass(frozen=True)
class Skip:
    """As `Resuming` tells it."""

    step: str
    decision_id: UUID | None
    leaves: tuple[str, ...]
    done_by_hand: bool


@dataclass(frozen=True)
class _Word:
    """Whose, and why."""

    by: By
    why: str


async def leave_out(session: Session, job: Job, skip: Skip) -> None:
    """The timeline's line; what stays at providers; what counts as given back by hand.

    Safe to repeat.
    """
    word = await _word(session, job, skip)
    await _tell(session, job, skip.step, f"left out by {word.by.name}: {word.why}")
    if skip.leaves:
        await _leave(session, job, skip, word)
    if skip.done_by_hand and job.order_id is not None:
        await refunds.settle(session, job.order_id, by=word.by, why=word.why)


async def _word(session: Session, job: Job, skip: Skip) -> _Word:
    decision = await session.get(Decision, skip.decision_id or job.id)
    if decision is None:
        return _Word(By("system", None, "somebody"), "")
    told = await session.get(AuditEvent, uuid5(decision.id, "audit"))
    kind = told.actor_kind if told is not None else "user"
    return _Word(By(kind, decision.author_id, decision.author), decision.why)


async def _tell(session: Session, job: Job, name: str, message: str) -> None:
    line = (
        await session.exec(
            select(JobStep).where(JobStep.job_id == job.id, JobStep.name == name)
        )
    ).one_or_none()
    now = utc_now()
    if line is None:  # its own lines are not written yet, and are older
        line = JobStep(
            tenant_id=job.tenant_id,
            job_id=job.id,
            name=name,
            generation=job.generation,
            scheduled_at=now,
            tried_at=now,
            phase=_PHASE,
            tries=1,
        )
        session.add(line)
    line.status, line.phase, line.message = StepStatus.SKIPPED, _PHASE, message
    line.ended_at, line.next_retry_at = line.ended_at or now, None


async def _leave(session: Session, job: Job, skip: Skip, word: _Word) -> None:
    """The ledger goes on saying that it is there; an alert says to take it away."""
    found = await session.exec(
        select(Effect).where(
            Effect.owner_id == job.subject_id,
            col(Effect.kind).in_(skip.leaves),
            Effect.state != EffectState.REMOVED,
        )
    )
    for effect in found.all():
        left = {"job": str(job.id), "step": skip.step, "by": word.by.name}
        effect.facts = {**effect.facts, "left": left}
        name = effect.facts.get("domain") or effect.facts.get("name") or ""
        what = " ".join(filter(None, (effect.kind, str(name), effect.remote_id)))
        where = effect.account or effect.provider
        await alerts.raise_alert(
            session,
            LEFT_BEHIND,
            Finding(
                tenant_id=job.tenant_id,
                subject_id=effect.id,
                message=f"the {what} was left at {where} when {word.by.name} left out"
                f" {skip.step}: {word.why}. Take it away by hand, then resolve this"
                " alert",
            ),
            occasion=str(skip.decision_id),
        )
