"""/api/jobs: what is under way, and why it waits.

/api/provisioning/tasks is a view of the same rows.
"""

from collections.abc import Mapping
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from api.callers import READERS, enter, having, whose
from api.deps import Reader, Rows
from api.limits import Kind, counted_as
from api.quick import Quick, as_json, id_in_path
from api.schemas import ABOUT_ONE, SIGNED_IN, CamelModel, Id, Page, Paging, Timestamp
from models.errors import NotFound
from models.jobs import Job
from models.queries import jobs
from models.queries.entries import Too
from models.queries.jobs import JobSeen
from models.queries.slices import Slice
from models.states import JobKind, JobStatus, Reason, StepStatus

router = APIRouter(tags=["jobs"])
polled = APIRouter(tags=["jobs"], route_class=Quick)

Word = Literal[
    "pending", "running", "needs_attention", "completed", "failed", "cancelled"
]
WORDS: Final[Mapping[JobStatus, Word]] = {
    JobStatus.WAITING: "pending",
    JobStatus.PENDING: "pending",
    JobStatus.RUNNING: "running",
    JobStatus.NEEDS_ATTENTION: "needs_attention",
    JobStatus.UNDOING: "running",
    JobStatus.SUCCEEDED: "completed",
    JobStatus.FAILED: "failed",
    JobStatus.CANCELLED: "cancelled",
}


class JobOut(CamelModel):
    """`status` is the contract's word, `state` ours. `step`, `reason` and `message`
    say what a job that needs attention waits for."""

    id: UUID
    tenant_id: UUID
    type: JobKind
    status: Word
    state: JobStatus
    target_id: UUID
    order_id: UUID | None
    parent_id: UUID | None
    generation: int
    step: str | None
    reason: Reason | None
    message: str | None
    created_at: Timestamp
    updated_at: Timestamp
    started_at: Timestamp | None
    ended_at: Timestamp | None

    @classmethod
    def of(cls, job: Job | JobSeen) -> "JobOut":
        """In the words of the contract."""
        status = JobStatus(job.status)
        return cls(
            id=job.id,
            tenant_id=job.tenant_id,
            type=JobKind(job.kind),
            status=WORDS[status],
            state=status,
            target_id=job.subject_id,
            order_id=job.order_id,
            parent_id=job.parent_id,
            generation=job.generation,
            step=job.step,
            reason=Reason(job.reason) if job.reason else None,
            message=job.message,
            created_at=job.created_at,
            updated_at=job.updated_at,
            started_at=job.started_at,
            ended_at=job.ended_at,
        )


class StepOut(CamelModel):
    """One line of the timeline. `tries` counts every generation."""

    name: str
    status: StepStatus
    tries: int
    generation: int
    started_at: Timestamp | None
    ended_at: Timestamp | None
    next_retry_at: Timestamp | None
    code: str | None
    message: str | None


class JobPaging(Paging):
    status: Word | None = None
    type: JobKind | None = None
    target_id: UUID | None = None


JobQuery = Annotated[JobPaging, Query()]


def page_of(found: Slice[Job]) -> Page[JobOut]:
    """A page in the words of the contract."""
    return Page[JobOut](
        items=[JobOut.of(job) for job in found.items], total=found.total
    )


@router.get("/jobs", responses=SIGNED_IN)
async def list_jobs(query: JobQuery, _: Reader, rows: Rows) -> Page[JobOut]:
    """Jobs, newest first."""
    found = await jobs.find(
        rows,
        query.window,
        statuses=[status for status, word in WORDS.items() if word == query.status],
        kind=query.type,
        subject_id=query.target_id,
    )
    return page_of(found)


@router.get("/provisioning/tasks", responses=SIGNED_IN)
async def list_tasks(query: JobQuery, actor: Reader, rows: Rows) -> Page[JobOut]:
    """The same as /api/jobs, under its older name."""
    return await list_jobs(query, actor, rows)


async def _asked(job_id: Id, actor: Reader) -> None:
    """What `get_job` asks for."""


@polled.get(
    "/jobs/{id}",
    response_model=JobOut,
    responses=ABOUT_ONE,
    dependencies=[Depends(_asked)],
)
@counted_as(Kind.POLL)
async def get_job(request: Request) -> Response:
    """One job."""
    job_id = id_in_path(request)
    entered = await enter(request, Too(jobs.LOOK, {"job": job_id}))
    having(await whose(request, entered), READERS)
    job = jobs.seen(entered)
    if job is None:
        raise NotFound(f"there is no job {job_id}")
    return as_json(JobOut.of(job))


@router.get("/jobs/{id}/steps", responses=ABOUT_ONE)
@counted_as(Kind.POLL)
async def list_steps(job_id: Id, _: Reader, rows: Rows) -> Page[StepOut]:
    """The job's timeline, oldest first."""
    await jobs.get(rows, job_id)
    found = await jobs.steps(rows, job_id)
    return Page[StepOut].of(Slice(found, len(found)))
