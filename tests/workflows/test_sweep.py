"""The sweep among rows that cannot go on: none of them is in another's way."""

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from sqlmodel import select
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from activities.calls import JobRef
from models.base import utc_now
from models.database import Database
from models.jobs import Decision, Job
from models.states import Act, DecisionStatus, JobKind, JobStatus
from models.tenants import MIGRAHOSTING
from tests.dev.program import PATIENT
from workers.sweep import Sweep
from workflows.engine.plugin import engine_plugin
from workflows.engine.start import start
from workflows.names import life_id

Row = TypeVar("Row", Job, Decision)
MANY = 220


@dataclass
class Deaf:
    """A Temporal whose runs are started and answer nobody: no worker is there."""

    db: Database
    client: Client
    sweep: Sweep

    async def keep(self, *rows: Job | Decision) -> None:
        async with self.db.platform() as session:
            session.add_all(rows)
            await session.commit()

    async def started(self, job: Job) -> None:
        ref = JobRef(job.id, job.tenant_id, job.subject_id, JobKind(job.kind))
        await start(self.client, ref)

    async def swept(
        self, row: Row, holds: Callable[[Row], bool], *, within: float
    ) -> Row:
        """The row, when enough rounds have been made."""
        deadline = time.monotonic() + within
        while True:
            await self.sweep.start_pending()
            await self.sweep.deliver_decisions()
            async with self.db.platform() as session:
                now = await session.get_one(type(row), row.id)
            if holds(now):
                return now
            assert time.monotonic() < deadline, f"still {now!r}"


@pytest.fixture
async def deaf(db: Database, temporal: WorkflowEnvironment) -> AsyncIterator[Deaf]:
    target = temporal.client.service_client.config.target_host
    client = await Client.connect(target, plugins=[engine_plugin()])
    sweep = Sweep(db, client)
    yield Deaf(db, client, sweep)
    await sweep.starts.end()
    await sweep.deliveries.end()
    async with db.platform() as session:
        jobs = (await session.exec(select(Job))).all()
    # By their ids: the list of runs is a moment behind.
    begun = [*(life_id(job.subject_id) for job in jobs), *(j.workflow_id for j in jobs)]
    for run in begun:
        with contextlib.suppress(RPCError):
            await client.get_workflow_handle(run).terminate("end of the test")


def _job(kind: JobKind, *, minutes_old: int = 0, **more: Any) -> Job:
    return Job(
        tenant_id=MIGRAHOSTING,
        kind=kind,
        subject_id=uuid4(),
        exclusive=False,
        created_at=utc_now() - timedelta(minutes=minutes_old),
        **more,
    )


async def test_acts_that_wait_for_their_turn_hold_up_no_order(deaf: Deaf) -> None:
    acts = [_job(JobKind.CLOUDPOD_MOVE, minutes_old=9) for _ in range(MANY)]
    order = _job(JobKind.FULFIL_ORDER)
    await deaf.keep(*acts, order)

    await deaf.swept(order, lambda job: job.started_generation == 1, within=PATIENT)


async def test_decisions_that_nobody_takes_hold_up_no_other(deaf: Deaf) -> None:
    silent = _job(JobKind.FULFIL_ORDER, status=JobStatus.RUNNING, started_generation=1)
    over = _job(JobKind.FULFIL_ORDER, status=JobStatus.FAILED, started_generation=1)
    await deaf.keep(silent, over)
    await deaf.started(silent)
    waiting = [_decision(silent, minutes_old=9) for _ in range(MANY)]
    last = _decision(over)
    await deaf.keep(*waiting, last)

    told = await deaf.swept(
        last, lambda one: one.status != DecisionStatus.RECORDED, within=PATIENT
    )

    assert told.refused == "the job had ended"


def _decision(job: Job, *, minutes_old: int = 0) -> Decision:
    return Decision(
        tenant_id=job.tenant_id,
        job_id=job.id,
        generation=1,
        act=Act.RETRY,
        why="the cause is gone",
        author="Olga Operator",
        created_at=utc_now() - timedelta(minutes=minutes_old),
    )
