"""Jobs that the pages show."""

from typing import Any

from models.database import Database
from models.effects import Effect
from models.jobs import Job
from models.orders import Order
from models.states import EffectState, JobStatus, Reason
from tests.api.rows import add, job
from tests.workflows import paths
from tests.world import World


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


async def parked_at_site(here: World, *, number: int = 1) -> tuple[Order, Job]:
    """As in `paths`. Its DNS record, made at the same time, is there as well: coming
    later, it would change the page under whoever fills in a form."""
    order, website = await paths.parked_at_site(here, number=number)
    made = {"job_id": website.id, "kind": "record", "state": EffectState.PRESENT}
    await here.until(lambda: paths.rows(here, Effect, **made), bool)
    return order, website
