"""A job that waits for a person is told of, whatever a provider has said."""

from sqlmodel import select

from activities.calls import Failure, JobRef, Parking
from activities.errors import ProviderRejected
from activities.jobs import JobActivities
from models.alerts import Alert
from models.database import Database
from models.jobs import Job
from models.outbox import OutboxMessage
from models.states import JobStatus, Reason
from tests.api import rows


async def test_words_that_no_row_can_hold_keep_no_job_from_parking(
    db: Database,
) -> None:
    """A NUL is in no text of PostgreSQL's, half a character (`"\\ud800"` is JSON) in
    none of UTF-8."""
    job = rows.job()
    await rows.add(db, job)
    ref = JobRef(job.id, job.tenant_id, job.subject_id, job.kind)
    said = str(ProviderRejected("hosting", "no such\x00 name \ud800 here"))

    failure = Failure(Reason.REJECTED, said)
    await JobActivities(db).record_parked(Parking(ref, "create_site", 1, failure))

    async with db.platform() as session:
        parked = await session.get_one(Job, job.id)
        alert = (await session.exec(select(Alert))).one()
        told = (await session.exec(select(OutboxMessage.channel))).all()
    assert parked.status == JobStatus.NEEDS_ATTENTION
    assert parked.message == "hosting: no such\N{REPLACEMENT CHARACTER} name" + (
        " \N{REPLACEMENT CHARACTER} here"
    )
    assert alert.message.endswith(parked.message)
    assert sorted(told) == ["mail", "webhook"]
