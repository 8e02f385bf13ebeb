"""Starting a job's run from the web process: a courtesy that nobody waits for.

The row is what counts. Whatever is not started here, the worker's sweep starts; an act
of a CloudPod always, for two that are started beside each other could change places.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy import text
from temporalio.client import Client

from models.database import Session
from models.jobs import Job
from models.states import CLOUDPOD_ACTS, JobKind
from workflows.engine.start import JobRef, start

_log = structlog.get_logger(__name__)
_BOUND: Final = timedelta(seconds=2)
_WAKE: Final = text("select pg_notify('mpanel', 'start')")

_under_way: set[asyncio.Task[None]] = set()
_held: ContextVar[list[tuple[Client, Job]] | None] = ContextVar("held", default=None)


@contextmanager
def held() -> Iterator[None]:
    """What is to be started inside starts at the end, unless that is an error.

    For a caller whose own transaction is around the service's: until it commits,
    nobody else sees the job.
    """
    waiting: list[tuple[Client, Job]] = []
    before = _held.set(waiting)
    try:
        yield
    finally:
        _held.reset(before)
    for temporal, job in waiting:
        start_soon(temporal, job)


async def announce(session: Session) -> None:
    """Wakes the worker's sweep when this transaction commits."""
    await (await session.connection()).execute(_WAKE)


def start_soon(temporal: Client, job: Job) -> None:
    """Starts the run of a committed root job in the background, for 2 s at most.

    An act of a CloudPod is left to the sweep, which `announce` has woken.
    """
    if (waiting := _held.get()) is not None:
        waiting.append((temporal, job))
        return
    if job.kind in CLOUDPOD_ACTS:
        return
    task = asyncio.create_task(_start(temporal, job), name=f"start {job.id}")
    _under_way.add(task)
    task.add_done_callback(_under_way.discard)


async def settled() -> None:
    """Waits for the starts that are under way, before the process ends."""
    if _under_way:
        await asyncio.wait(_under_way)


async def _start(temporal: Client, job: Job) -> None:
    ref = JobRef(
        job_id=job.id,
        tenant_id=job.tenant_id,
        subject_id=job.subject_id,
        kind=JobKind(job.kind),
        generation=job.generation,
    )
    try:
        async with asyncio.timeout(_BOUND.total_seconds()):
            await start(temporal, ref, batch=job.batch)
    except Exception as error:  # noqa: BLE001 - the sweep starts it otherwise
        _log.warning("start_left_to_sweep", job=str(job.id), error=type(error).__name__)
