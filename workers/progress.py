"""The timeline's writer: bounded, asynchronous, in batches.

It never fails or delays a step. What it loses the reconciler rebuilds from Temporal's
own history. Every line carries its place in the order of events, so that a late one
never overwrites a newer.
"""

import asyncio
import contextlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString
from uuid import UUID

import structlog

from models.database import Database
from models.states import StepStatus

_log = structlog.get_logger(__name__)
_MOST_WAITING = 10_000
_BATCH = 200
# A step that is quicker is one line and not two.
_GATHER = 0.05


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


# One statement for every batch, whatever its size. Temporal counts tries anew when
# somebody resets a step.
_WRITE: Final[LiteralString] = (
    "with written as (insert into job_steps (id, created_at, tenant_id, job_id, name,"
    " status, generation, scheduled_at, tried_at, phase, tries, started_at, ended_at,"
    " next_retry_at, code, message)"
    " select gen_random_uuid(), clock_timestamp(), line.*"
    " from jsonb_to_recordset(%(rows)s::jsonb) as line(tenant_id uuid,"
    " job_id uuid, name text, status text, generation int, scheduled_at timestamptz,"
    " tried_at timestamptz, phase int, tries int, started_at timestamptz,"
    " ended_at timestamptz, next_retry_at timestamptz, code text, message text)"
    " on conflict (job_id, name) do update set status = excluded.status,"
    " generation = excluded.generation, scheduled_at = excluded.scheduled_at,"
    " tried_at = excluded.tried_at, phase = excluded.phase,"
    " started_at = coalesce(job_steps.started_at, excluded.started_at),"
    " ended_at = excluded.ended_at, next_retry_at = excluded.next_retry_at,"
    " code = excluded.code, message = excluded.message,"
    " tries = case when job_steps.scheduled_at = excluded.scheduled_at"
    " then greatest(job_steps.tries, excluded.tries) else excluded.tries end"
    " where (job_steps.generation, job_steps.scheduled_at, job_steps.tried_at,"
    " job_steps.phase) < (excluded.generation, excluded.scheduled_at,"
    " excluded.tried_at, excluded.phase))"
    # A payload holds 8000 bytes: the ids of a batch and more.
    " select pg_notify('mpanel_jobs', %(jobs)s)"
)


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
    told = [vars(row) for row in rows]
    changed_jobs = " ".join(sorted({str(row.job_id) for row in rows}))
    rows_told = json.dumps(told, default=str)
    await db.direct.row(_WRITE, {"rows": rows_told, "jobs": changed_jobs})
