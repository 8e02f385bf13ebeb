"""The timeline's writer: bounded, asynchronous, in batches.

It never fails or delays a step. What it loses the reconciler rebuilds from Temporal's
own history. Every line carries its place in the order of events, so that a late one
never overwrites a newer.
"""

import asyncio
import contextlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID, uuid4

import structlog
from sqlalchemy import case, func, text, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from models.base import utc_now
from models.database import Database
from models.jobs import JobStep
from models.states import StepStatus

_log = structlog.get_logger(__name__)
_MOST_WAITING = 10_000
_BATCH = 200
_GATHER = 0.01
# A payload holds 8000 bytes: the ids of a batch and more.
_TELL = text("select pg_notify('mpanel_jobs', :jobs)")


@dataclass(frozen=True)
class StepLine:
    """One line of a job's timeline at one moment."""

    tenant_id: UUID
    job_id: UUID
    name: str
    status: StepStatus
    generation: int
    scheduled_at: datetime
    tried_at: datetime
    phase: int
    tries: int
    started_at: datetime | None = None
    ended_at: datetime | None = None
    next_retry_at: datetime | None = None
    code: str | None = None
    message: str | None = None

    @property
    def place(self) -> tuple[int, datetime, datetime, int]:
        """Where it stands in the order of events."""
        return (self.generation, self.scheduled_at, self.tried_at, self.phase)


class ProgressWriter:
    """`put` from anywhere in the loop; `run` writes until it is cancelled."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._lines: asyncio.Queue[StepLine] = asyncio.Queue(_MOST_WAITING)

    def put(self, line: StepLine) -> None:
        """Drops the line when too many wait: the reconciler will know."""
        with contextlib.suppress(asyncio.QueueFull):
            self._lines.put_nowait(line)

    async def run(self) -> None:
        """Writes batches for ever."""
        while True:
            batch = [await self._lines.get()]
            await asyncio.sleep(_GATHER)
            while not self._lines.empty() and len(batch) < _BATCH:
                batch.append(self._lines.get_nowait())
            try:
                await write(self._db, batch)
            except Exception as error:  # noqa: BLE001 - lost lines are rebuilt
                _log.warning(
                    "progress_lost", lines=len(batch), error=type(error).__name__
                )
                await asyncio.sleep(0.5)


async def write(db: Database, lines: Iterable[StepLine]) -> None:
    """Upserts the newest line of each step, and touches nothing newer."""
    newest: dict[tuple[UUID, str], StepLine] = {}
    for line in sorted(lines, key=lambda one: one.place):
        newest[(line.job_id, line.name)] = line
    if not newest:
        return
    # In one order everywhere, so that two writers cannot lock each other out.
    rows = [newest[key] for key in sorted(newest, key=str)]
    statement = insert(JobStep).values(
        [asdict(row) | {"id": uuid4(), "created_at": utc_now()} for row in rows]
    )
    new = statement.excluded
    place = ("generation", "scheduled_at", "tried_at", "phase")
    kept = ("tenant_id", "job_id", "name", "started_at")
    changed = {
        field: getattr(new, field)
        for field in StepLine.__dataclass_fields__
        if field not in kept
    }
    statement = statement.on_conflict_do_update(
        index_elements=["job_id", "name"],
        set_=changed
        | {
            "started_at": func.coalesce(JobStep.started_at, new.started_at),
            # Temporal counts anew when somebody resets a step.
            "tries": case(
                (
                    col(JobStep.scheduled_at) == new.scheduled_at,
                    func.greatest(JobStep.tries, new.tries),
                ),
                else_=new.tries,
            ),
        },
        where=tuple_(*(getattr(JobStep, field) for field in place))
        < tuple_(*(getattr(new, field) for field in place)),
    )
    changed_jobs = " ".join(sorted({str(row.job_id) for row in rows}))
    async with db.platform() as session:
        await session.exec(statement)
        connection = await session.connection()
        await connection.execute(_TELL, {"jobs": changed_jobs})
        await session.commit()
