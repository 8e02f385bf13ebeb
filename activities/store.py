"""The transaction of a step: fenced by generation, and it begins the job."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from uuid import UUID

from sqlmodel import col, select
from temporalio import activity

from activities.calls import StepCall
from activities.errors import GiveUp
from models.base import utc_now
from models.database import Database, Session
from models.jobs import Job
from models.servers import Server
from models.states import UNDONE_JOBS, JobStatus, Reason
from models.websites import Website


class Store:
    """Sessions for steps. The caller commits."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._placing: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def placing(self, role: str) -> asyncio.Lock:
        """Placing on servers of this role, which the database lets one do at a time:
        whoever waits for that in this process holds no connection meanwhile."""
        return self._placing[role]

    def platform(self) -> AbstractAsyncContextManager[Session]:
        """For tables that belong to no tenant."""
        return self._db.platform()

    def tenant(self, tenant_id: UUID) -> AbstractAsyncContextManager[Session]:
        """For what is done before there is a job."""
        return self._db.tenant(tenant_id)

    @asynccontextmanager
    async def step(
        self, call: StepCall, *, platform: bool = False
    ) -> AsyncIterator[tuple[Session, Job]]:
        """The tenant's session (or the platform's) and the step's job.

        The first step of a run marks the job running in its own transaction. Raises
        `GiveUp(ENDED)` if the job is over, or if a later generation has taken over.
        """
        scope = self._db.platform() if platform else self._db.tenant(call.tenant_id)
        async with scope as session:
            job = await session.get_one(Job, call.job_id)
            if job.generation != call.generation:
                raise GiveUp(Reason.ENDED, "a later run of this job has taken over")
            if job.status in (JobStatus.WAITING, JobStatus.PENDING):
                await session.refresh(job, with_for_update=True)
                if job.status in (JobStatus.WAITING, JobStatus.PENDING):
                    job.status = JobStatus.RUNNING
                    job.started_generation = job.generation
                    job.started_at = job.started_at or utc_now()
                    job.updated_at = utc_now()
                    job.ended_at = None
                    job.go_on()
            # A last step that runs again finds its job succeeded, and that is well.
            if job.status in UNDONE_JOBS:
                raise GiveUp(Reason.ENDED, f"the job is over: it is {job.status}")
            yield session, job

    async def placed(self, call: StepCall) -> tuple[Website, Server]:
        """The call's website and the server that it has a place on."""
        async with self.step(call, platform=True) as (session, _):
            found = await placed(session, call.subject_id)
            await session.commit()
            return found

    async def placed_unless_done(self, call: StepCall) -> tuple[Website, Server] | None:
        """As `placed`, for a last step; None if an earlier try has ended the job, and
        its worker died before anybody heard. The website may be another job's since."""
        async with self.step(call, platform=True) as (session, job):
            found = await placed(session, call.subject_id)
            await session.commit()
            return None if job.status == JobStatus.SUCCEEDED else found


async def placed(session: Session, website_id: UUID) -> tuple[Website, Server]:
    """As `Store.placed`, in the caller's transaction of the platform."""
    found = await session.exec(
        select(Website, Server)
        .outerjoin(Server, col(Server.id) == col(Website.server_id))
        .where(Website.id == website_id)
    )
    website, server = found.one()
    if server is None:
        raise GiveUp(
            Reason.INVALID, "the website has no place on a server", code="no_place"
        )
    return website, server


def finish(job: Job) -> None:
    """The job's end, in the transaction of its last step."""
    job.status = JobStatus.SUCCEEDED
    job.go_on()
    job.ended_at = job.updated_at = utc_now()


def slowly() -> float:
    """1 s, 2 s, 4 s ... 30 s between looks at a job that may wait for weeks."""
    return float(min(30, 2 ** min(activity.info().attempt - 1, 5)))
