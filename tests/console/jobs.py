"""Jobs that the pages show."""

from typing import Any

from models.database import Database
from models.states import JobStatus, Reason
from tests.api.rows import add, job


async def waiting(db: Database, **facts: Any) -> Any:
    """A job that waits."""
    made = job(
        status=JobStatus.NEEDS_ATTENTION,
        step="create_site",
        reason=Reason.REJECTED,
        message="no such PHP version",
        started_generation=1,
        **facts,
    )
    await add(db, made)
    return made
