"""Whoever had a mail come back is reachable again once a later one has stayed."""

from datetime import timedelta
from typing import Final

from models.base import utc_now
from models.database import Database
from models.queries import bounces

# So long do mail servers go on trying (RFC 5321, 4.5.4.1); then a mail comes back.
STAYED: Final = timedelta(days=5)


async def end_for_reached(db: Database) -> None:
    """Every customer whose later mail has stayed."""
    async with db.platform() as session:
        await bounces.end_for_reached(session, sent_before=utc_now() - STAYED)
        await session.commit()
