"""The numbers of the first page that people see."""

from dataclasses import dataclass
from datetime import timedelta

from api.auth.actor import Actor
from models.base import utc_now
from models.database import Database, Session
from models.queries import dashboard, servers
from models.queries.dashboard import Counts

_RECENTLY = timedelta(days=30)


@dataclass(frozen=True)
class Summary:
    """`servers` is 0 for those who may not see the platform's own machines."""

    counts: Counts
    servers: int


async def summary(rows: Session, db: Database, actor: Actor) -> Summary:
    """What is in the caller's sight, as of now; failures of the last 30 days."""
    counts = await dashboard.counts(rows, failed_since=utc_now() - _RECENTLY)
    if not actor.staff:
        return Summary(counts, servers=0)
    async with db.platform() as session:
        return Summary(counts, servers=await servers.number(session))
