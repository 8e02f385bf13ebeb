"""The timeline's writer: late lines change nothing, and no step waits for it."""

import asyncio
import itertools
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from sqlmodel import select
from structlog.testing import capture_logs

from models.database import Database
from models.jobs import Job, JobStep
from models.states import JobKind, StepStatus
from models.tenants import MIGRAHOSTING
from tests.workers.conftest import until
from workers.progress import ProgressWriter, StepLine, write

AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


async def test_lines_may_come_in_any_order(db: Database) -> None:
    job = await a_job(db)
    first = line(job)
    failed = replace(
        first, status=StepStatus.RETRYING, phase=1, code="provider_down", message="away"
    )
    second = replace(first, tried_at=AT + timedelta(seconds=2), tries=2)
    done = replace(
        second, status=StepStatus.SUCCEEDED, phase=1, ended_at=AT + timedelta(seconds=3)
    )

    for number, order in enumerate(
        itertools.permutations([first, failed, second, done])
    ):
        name = f"step-{number}"
        for told in order:
            await write(db, [replace(told, name=name)])

        row = await step(db, job, name)
        assert (row.status, row.tries) == (StepStatus.SUCCEEDED, 2)
        assert (row.code, row.message) == (None, None)
        assert row.ended_at == done.ended_at


async def test_a_later_generation_is_not_overwritten_by_an_earlier(
    db: Database,
) -> None:
    job = await a_job(db)
    late = replace(
        line(job),
        status=StepStatus.CANCELLED,
        phase=1,
        scheduled_at=AT + timedelta(hours=1),
    )

    await write(db, [replace(line(job), generation=2), late])
    await write(db, [late])

    row = await step(db, job, "create_site")
    assert (row.generation, row.status) == (2, StepStatus.RUNNING)


async def test_the_first_start_of_a_step_is_kept(db: Database) -> None:
    job = await a_job(db)
    again = AT + timedelta(minutes=5)

    await write(db, [line(job)])
    await write(db, [replace(line(job), tried_at=again, started_at=again, tries=2)])

    assert (await step(db, job, "create_site")).started_at == AT


async def test_nobody_waits_when_more_lines_come_than_can_be_written(
    db: Database,
) -> None:
    writer, told = ProgressWriter(db), line(await a_job(db))
    began = time.monotonic()

    for _ in range(20_000):
        writer.put(told)

    assert time.monotonic() - began < 10


async def test_lines_that_cannot_be_written_hold_up_no_others(db: Database) -> None:
    job = await a_job(db)
    writer = ProgressWriter(db)
    writing = asyncio.create_task(writer.run())

    with capture_logs() as logs:
        writer.put(replace(line(job), message="\x00 is no text for PostgreSQL"))
        await until(lambda: "progress_lost" in {one["event"] for one in logs})
    writer.put(replace(line(job), name="go_live"))

    async with asyncio.timeout(60):
        while not (written := await steps(db, job)):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    writing.cancel()
    assert [row.name for row in written] == ["go_live"]


async def a_job(db: Database) -> Job:
    job = Job(
        tenant_id=MIGRAHOSTING, kind=JobKind.WEBSITE_PROVISION, subject_id=uuid4()
    )
    async with db.platform() as session:
        session.add(job)
        await session.commit()
    return job


def line(job: Job) -> StepLine:
    """A step's first try begins."""
    return StepLine(
        tenant_id=job.tenant_id,
        job_id=job.id,
        name="create_site",
        status=StepStatus.RUNNING,
        generation=1,
        scheduled_at=AT,
        tried_at=AT,
        phase=0,
        tries=1,
        started_at=AT,
    )


async def steps(db: Database, job: Job) -> list[JobStep]:
    async with db.platform() as session:
        found = await session.exec(select(JobStep).where(JobStep.job_id == job.id))
        return list(found)


async def step(db: Database, job: Job, name: str) -> JobStep:
    (row,) = [row for row in await steps(db, job) if row.name == name]
    return row
