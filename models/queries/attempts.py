"""Counting guesses, exactly: one statement per guard, which locks its row."""

from math import ceil

from sqlmodel import text

from models.attempts import LONGEST_WAIT, Guard
from models.database import Session
from models.errors import TooMany

# The time is taken after the row is locked: of two at once, the second sees the
# first's wait.
_COUNT = text(
    "insert into attempts as a (key, failures, failed_at, blocked_until)"
    " values (:key, 1, clock_timestamp(), clock_timestamp())"
    " on conflict (key) do update set (failures, failed_at, blocked_until) ="
    " (select n, clock_timestamp(), clock_timestamp() + case when n < :free"
    " then interval '0' else interval '1 s' * least(2 ^ (n - :free), :longest) end"
    " from (select least(10000, greatest(0, a.failures - floor(extract(epoch from"
    " clock_timestamp() - a.failed_at) / :forgets))::int + 1) as n) as counted)"
    " where a.blocked_until <= clock_timestamp() returning failures"
)
_WAIT = text(
    "select extract(epoch from max(blocked_until) - clock_timestamp())"
    " from attempts where key = any(:keys)"
)
_TAKE_BACK = text(
    "update attempts set failures = greatest(0, failures - 1),"
    " blocked_until = clock_timestamp() where key = any(:keys)"
)
_FORGET = text("delete from attempts where key = any(:keys)")


async def begin(session: Session, *guards: Guard) -> None:
    """Counts one more try for each, as a failure, and commits.

    Raises `TooMany` with the seconds to wait if one of them blocks; then none counts.
    """
    for guard in sorted(guards, key=lambda one: one.key):
        found = await (await session.connection()).execute(
            _COUNT,
            {
                "key": guard.key,
                "free": guard.free,
                "forgets": guard.forgets.total_seconds(),
                "longest": LONGEST_WAIT.total_seconds(),
            },
        )
        if found.first() is None:
            await session.rollback()
            raise await _too_many(session, guards)
    await session.commit()


async def take_back(session: Session, *guards: Guard) -> None:
    """The last try was none: it neither failed nor proved anything."""
    keys = [guard.key for guard in guards]
    await (await session.connection()).execute(_TAKE_BACK, {"keys": keys})


async def forget(session: Session, *guards: Guard) -> None:
    """Whoever was guarded has proven who they are."""
    keys = [guard.key for guard in guards]
    await (await session.connection()).execute(_FORGET, {"keys": keys})


async def _too_many(session: Session, guards: tuple[Guard, ...]) -> TooMany:
    keys = [guard.key for guard in guards]
    found = await (await session.connection()).execute(_WAIT, {"keys": keys})
    wait = max(1, ceil(found.scalar_one() or 0))
    await session.rollback()
    return TooMany(f"too many failures; come back in {wait} s", retry_after=wait)
