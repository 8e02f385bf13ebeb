"""How much there is of everything, and how the work goes."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from models.database import Session
from models.queries.services import LIVING
from models.states import OPEN_JOBS, JobStatus


@dataclass(frozen=True)
class Counts:
    """`services`, `websites`: those in use. `open_jobs` by state; `failed_jobs` since
    the moment that was asked for."""

    customers: int
    services: int
    websites: int
    open_jobs: dict[JobStatus, int]
    failed_jobs: int


def _words(*states: str) -> str:
    return "({})".format(", ".join(f"'{state}'" for state in states))


# Named twice on purpose: row-level security alone is no condition for an index.
_MINE = "tenant_id = cast(:tenant as uuid)"
_COUNT = (
    "select (select count(*) from customers where {seen}) as customers,"
    " (select count(*) from subscriptions where {seen} and status in {living})"
    " as services,"
    " (select count(*) from websites where {seen} and status in {living})"
    " as websites,"
    " (select count(*) from jobs where {seen} and status = 'failed'"
    " and ended_at >= :since) as failed_jobs"
)
_OPEN = (
    "select status, count(*) from jobs where {seen} and status in {open}"
    " group by status"
)


async def counts(session: Session, *, failed_since: datetime) -> Counts:
    """Of the session's tenant, or of all. What has ended costs nothing, but for the
    failures that are asked for."""
    tenant = session.info.get("tenant")
    words = {
        "seen": _MINE if tenant else "true",
        "living": _words(*LIVING),
        "open": _words(*OPEN_JOBS),
    }
    given = {"tenant": tenant} if tenant else {}
    connection = await session.connection()
    sums = await connection.execute(
        text(_COUNT.format(**words)), {**given, "since": failed_since}
    )
    found = sums.one()
    states = await connection.execute(text(_OPEN.format(**words)), given)
    return Counts(
        customers=found.customers,
        services=found.services,
        websites=found.websites,
        open_jobs={JobStatus(status): number for status, number in states},
        failed_jobs=found.failed_jobs,
    )
