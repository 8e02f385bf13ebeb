"""How much waits, counted for metrics: a few bounded looks at partial indexes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import text

from models.database import Session
from models.queries import processes
from models.states import OPEN_JOBS, JobStatus

_BOUNDED: Final = text("select set_config('statement_timeout', '2s', true)")
_JOBS: Final = text(
    # In these words, for the partial index.
    "select kind, status, coalesce(reason, ''), count(*) from jobs"  # noqa: S608
    " where status in ({}) group by 1, 2, 3".format(
        ", ".join(f"'{status}'" for status in OPEN_JOBS)
    )
)
_OUTBOX: Final = text(
    "select channel, count(*), extract(epoch from now() - min(next_at)) from outbox"
    " where status = 'queued' and next_at <= now() group by 1"
)
_EVENTS: Final = text(
    "select count(*), coalesce(extract(epoch from now() - min(created_at)), 0)"
    " from stripe_events where handled_at is null"
)
_GATES: Final = text(
    "select split_part(account, ':', 1), count(*) from provider_accounts"
    " where blocked_until > now() group by 1"
)


@dataclass
class Backlog:
    """Ages in seconds, of the oldest that is due."""

    open_jobs: dict[tuple[str, str], int] = field(default_factory=dict)
    parked: dict[str, int] = field(default_factory=dict)
    outbox: dict[str, tuple[int, float]] = field(default_factory=dict)
    events: tuple[int, float] = (0, 0.0)
    closed_gates: dict[str, int] = field(default_factory=dict)
    workers: Mapping[str, int] = field(default_factory=dict)


async def read(session: Session) -> Backlog:
    """Wants the platform's session. Gives up after two seconds a look."""
    connection = await session.connection()
    await connection.execute(_BOUNDED)
    found = Backlog()
    for kind, status, reason, many in await connection.execute(_JOBS):
        at = (kind, status)
        found.open_jobs[at] = found.open_jobs.get(at, 0) + many
        if status == JobStatus.NEEDS_ATTENTION:
            found.parked[reason] = found.parked.get(reason, 0) + many
    for channel, many, age in await connection.execute(_OUTBOX):
        found.outbox[channel] = (many, float(age))
    many, age = (await connection.execute(_EVENTS)).one()
    found.events = (many, float(age))
    gates = await connection.execute(_GATES)
    found.closed_gates = {provider: many for provider, many in gates}  # noqa: C416
    found.workers = await processes.served(session)
    return found
