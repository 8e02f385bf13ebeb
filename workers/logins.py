"""Logins that are over are forgotten, and what was counted against whom."""

from typing import Final

from sqlalchemy import text

from models.database import Database

# Each by itself: nobody waits for a long transaction. A minute's calls and a quiet
# day's failures decide nothing any more.
_OVER: Final = tuple(
    text(f"delete from {what}")  # noqa: S608 - our own words
    for what in (
        "sessions where expires_at < now()",
        "known_addresses where seen_at < now() - interval '30 days'",
        "attempts where greatest(failed_at, blocked_until) < now() - interval '1 day'",
        "call_counts where ends_at < now()",
    )
)


async def forget(db: Database) -> None:
    """All that is over now."""
    for statement in _OVER:
        async with db.platform() as session:
            await (await session.connection()).execute(statement)
            await session.commit()
