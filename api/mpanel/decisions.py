"""/api/jobs/{id}/retry, /skip, /abort and /codes: what an operator decides."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field, StringConstraints

from api.bodies import Text
from api.deps import Operator, Reader, Rows
from api.idempotency import Repeatable
from api.mpanel.jobs import JobOut
from api.schemas import ABOUT_ONE, ACTS, CamelModel, Id, Page, Timestamp
from api.services import decisions
from api.services.decisions import Scope, Wish
from models.jobs import Decision
from models.queries import jobs
from models.queries.slices import Slice
from models.states import Act, DecisionStatus

router = APIRouter(prefix="/jobs/{id}", tags=["decisions"], route_class=Repeatable)

# Several lines are welcome; PostgreSQL stores no NUL.
Why = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, min_length=1, max_length=1000, pattern=r"^[^\x00]+$"
    ),
]


class RetryIn(CamelModel):
    """`step`: one of several that wait. `correction`: what was wrong, set right."""

    step: Text | None = None
    reason: Why = "tried again"
    correction: dict[Text, Text] = Field(default_factory=dict)


class SkipIn(CamelModel):
    step: Text | None = None
    reason: Why


class AbortIn(CamelModel):
    """`item`: this line and what needs it. `order`: everything, live lines too."""

    scope: Scope
    reason: Why


class CodeIn(CamelModel):
    act: Act
    step: Text | None = None


class CodeOut(CamelModel):
    """Shown this once. Burnt by its first use, void when the job has changed."""

    code: str
    act: Act
    step: str | None
    expires_at: Timestamp


class DecisionOut(CamelModel):
    """`verified` is false for a signal that nobody signed."""

    id: UUID
    job_id: UUID
    act: Act
    step: str | None
    why: str
    correction: dict[str, str]
    author: str
    via: str
    verified: bool
    status: DecisionStatus
    refused: str | None
    created_at: Timestamp
    delivered_at: Timestamp | None


class DecidedOut(JobOut):
    """The job as of now; the worker carries the decision out."""

    decision: DecisionOut


async def _decided(rows: Rows, job_id: UUID, decision: Decision) -> DecidedOut:
    job = JobOut.of(await jobs.get(rows, job_id))
    return DecidedOut(**job.model_dump(), decision=DecisionOut.model_validate(decision))


@router.get("/decisions", responses=ABOUT_ONE)
async def list_decisions(job_id: Id, _: Reader, rows: Rows) -> Page[DecisionOut]:
    """Who decided what about the job, oldest first."""
    await jobs.get(rows, job_id)
    found = await jobs.decisions(rows, job_id)
    return Page[DecisionOut].of(Slice(found, len(found)))


@router.post("/retry", responses=ACTS)
async def retry(
    job_id: Id, actor: Operator, rows: Rows, body: RetryIn | None = None
) -> DecidedOut:
    """Have the step that waits tried again."""
    said = body or RetryIn()
    wish = Wish(Act.RETRY, said.reason, said.step, said.correction)
    return await _decided(
        rows, job_id, await decisions.go_on(rows, actor, job_id, wish)
    )


@router.post("/skip", responses=ACTS)
async def skip(job_id: Id, body: SkipIn, actor: Operator, rows: Rows) -> DecidedOut:
    """Go on without the step that waits, if it may be missing."""
    wish = Wish(Act.SKIP, body.reason, body.step)
    return await _decided(
        rows, job_id, await decisions.go_on(rows, actor, job_id, wish)
    )


@router.post("/abort", responses=ACTS)
async def abort(job_id: Id, body: AbortIn, actor: Operator, rows: Rows) -> DecidedOut:
    """Undo the job, or the whole order it belongs to, and refund what was undone."""
    decision = await decisions.abort(
        rows, actor, job_id, scope=body.scope, why=body.reason
    )
    return await _decided(rows, job_id, decision)


@router.post("/codes", status_code=201, responses=ACTS)
async def issue_code(job_id: Id, body: CodeIn, actor: Operator, rows: Rows) -> CodeOut:
    """A one-time code with which a signal from the Temporal UI counts as yours."""
    code = await decisions.issue_code(rows, actor, job_id, body.act, body.step)
    return CodeOut(
        code=code.code, act=body.act, step=body.step, expires_at=code.expires_at
    )
