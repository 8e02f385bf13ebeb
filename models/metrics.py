"""Numbers for Prometheus, on a port of their own that only insiders reach.

Labels are words of ours (a route's template, a kind, a reason), never an id, a tenant
or anything that somebody sent: so there are few, and nobody is known by them.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram
from prometheus_client import generate_latest as _exposition
from pydantic import Field
from sqlalchemy import event, inspect
from sqlalchemy.orm import Session as SyncSession
from sqlalchemy.pool import QueuePool

from models.base import utc_now
from models.database import Database
from models.inbox import StripeEventReceived
from models.jobs import Job
from models.settings import Settings
from models.states import OPEN_JOBS

_log = structlog.get_logger(__name__)

JOBS_ENDED: Final = Counter(
    "mpanel_jobs_ended", "Jobs whose end this process wrote.", ["kind", "outcome"]
)
WEBHOOK_LAG: Final = Histogram(
    "mpanel_stripe_event_lag_seconds",
    "From a Stripe event's arrival until this process had acted on it.",
    buckets=(0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800),
)
_CONNECTIONS: Final = Gauge(
    "mpanel_database_connections", "Connections of this process' pool.", ["state"]
)

_COMMITTED: Final = "mpanel.metrics"
_LONGEST_REQUEST: Final = 8192
_PATIENCE: Final = 5.0
# Whoever asks in no way that we understand, or not to the end.
_GONE: Final = (OSError, TimeoutError, EOFError, asyncio.LimitOverrunError)


class MetricsSettings(Settings):
    """For every process that serves or works."""

    metrics_host: str = Field(
        default="127.0.0.1", description="address that Prometheus reads metrics at"
    )
    metrics_port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="port of /metrics, another one for each process; none: not served",
    )


@contextlib.asynccontextmanager
async def served(
    settings: MetricsSettings,
    db: Database,
    refresh: Callable[[], Awaitable[None]] | None = None,
) -> AsyncIterator[None]:
    """Serves /metrics meanwhile, if it has a port. `refresh` is awaited before each."""
    if settings.metrics_port is None:
        yield
        return
    _watch(db)

    async def answer(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(*_GONE):
            async with asyncio.timeout(_PATIENCE):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(await _answer(head.split(b"\r\n")[0], refresh))
                await writer.drain()
        writer.close()

    try:
        door = await asyncio.start_server(
            answer, settings.metrics_host, settings.metrics_port, limit=_LONGEST_REQUEST
        )
    except OSError as error:
        # Nobody's order waits because nobody can count it.
        _log.error(
            "metrics_not_served", port=settings.metrics_port, reason=error.strerror
        )
        yield
        return
    async with door:
        yield


async def _answer(line: bytes, refresh: Callable[[], Awaitable[None]] | None) -> bytes:
    method, path, *_ = [*line.split(b" "), b"", b""]
    if (method, path.partition(b"?")[0]) != (b"GET", b"/metrics"):
        return _http(b"404 Not Found", b"text/plain", b"only /metrics is here\n")
    if refresh is not None:
        await refresh()
    return _http(b"200 OK", CONTENT_TYPE_LATEST.encode(), _exposition())


def _http(status: bytes, kind: bytes, body: bytes) -> bytes:
    return (
        b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n"
        b"Connection: close\r\n\r\n%s" % (status, kind, len(body), body)
    )


def count_commits() -> None:
    """Counts, in this process, jobs that end and events that are acted upon.

    At their commit, so a step that runs twice counts once. Safe to call again.
    """
    for name, listener in (
        ("after_flush", _note),
        ("after_commit", _count),
        ("after_rollback", _forget),
    ):
        if not event.contains(SyncSession, name, listener):
            event.listen(SyncSession, name, listener)


def _note(session: SyncSession, _: Any) -> None:
    for row in session.dirty:
        if isinstance(row, Job) and _changed(row, "status"):
            if row.status not in OPEN_JOBS:
                _put(session, (row.kind, row.status))
        elif isinstance(row, StripeEventReceived) and _changed(row, "handled_at"):
            _put(session, (utc_now() - row.created_at).total_seconds())


def _count(session: SyncSession) -> None:
    if session.in_nested_transaction():
        return  # a savepoint's release: what it holds may be taken back yet
    for _, one in session.info.pop(_COMMITTED, ()):
        if isinstance(one, float):
            WEBHOOK_LAG.observe(one)
        else:
            JOBS_ENDED.labels(*one).inc()


def _forget(session: SyncSession) -> None:
    """What was noted since the savepoint, or all of it."""
    savepoint = session.get_nested_transaction()
    noted = session.info.pop(_COMMITTED, [])
    if savepoint is not None:
        session.info[_COMMITTED] = [one for one in noted if one[0] is not savepoint]


def _put(session: SyncSession, one: Any) -> None:
    """Beside the savepoint that it was noted in."""
    noted = session.info.setdefault(_COMMITTED, [])
    noted.append((session.get_nested_transaction(), one))


def _changed(row: object, name: str) -> bool:
    return bool(inspect(row).attrs[name].history.has_changes())


def _watch(db: Database) -> None:
    pool = db.engine.pool
    if isinstance(pool, QueuePool):
        _CONNECTIONS.labels("used").set_function(pool.checkedout)
        _CONNECTIONS.labels("idle").set_function(pool.checkedin)
