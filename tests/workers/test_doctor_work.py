"""What the doctor says of the work that waits, and what to do about it."""

from datetime import timedelta
from uuid import uuid4

from pydantic import SecretStr

from models.base import utc_now
from models.database import Database
from models.outbox import OutboxMessage
from models.queries.alerts import Finding, raise_alert
from models.queries.outbox import OPERATOR
from models.states import JobKind, JobStatus
from models.tenants import MIGRAHOSTING
from tests.api import rows
from workers.doctor.lines import Line, Outcome
from workers.doctor.settings import DoctorSettings
from workers.doctor.work import look
from workers.webhooks import DISABLED

LONG_AGO = utc_now() - timedelta(days=3)


async def told(db: Database) -> dict[str, Line]:
    settings = DoctorSettings.model_construct(database_url=SecretStr(db.url))
    return {line.name: line async for line in look(settings)}


async def test_an_old_job_that_begins_anew_waits_since_then(db: Database) -> None:
    job = rows.job(status=JobStatus.NEEDS_ATTENTION, created_at=LONG_AGO)
    job.renew()
    await rows.add(db, job)
    assert (await told(db))["orders to start"].outcome == Outcome.OK

    await rows.add(db, rows.job(status=JobStatus.PENDING, updated_at=LONG_AGO))
    assert (await told(db))["orders to start"].outcome == Outcome.FAILURE


async def test_an_act_that_waits_for_another_one_of_its_cloudpod_waits_for_no_worker(
    db: Database,
) -> None:
    busy = rows.job(kind=JobKind.CLOUDPOD_BACKUP, exclusive=False)
    queued = rows.job(
        kind=JobKind.CLOUDPOD_RESIZE,
        exclusive=False,
        subject_id=busy.subject_id,
        status=JobStatus.PENDING,
        updated_at=LONG_AGO,
    )
    await rows.add(db, busy, queued)
    assert (await told(db))["orders to start"].said == "none waits"


async def test_what_a_webhook_that_is_off_misses_is_no_fault_of_the_workers(
    db: Database,
) -> None:
    due = OutboxMessage(
        tenant_id=MIGRAHOSTING,
        channel="webhook",
        recipient=OPERATOR,
        template="order.completed",
        subject_id=uuid4(),
        next_at=LONG_AGO,
    )
    await rows.add(db, due)
    late = (await told(db))["mail and webhooks"]
    assert (late.outcome, "mpanel worker" in late.advice) == (Outcome.FAILURE, True)

    async with db.platform() as session:
        found = Finding(MIGRAHOSTING, uuid4(), "the operators' webhook is turned off")
        await raise_alert(session, DISABLED, found)
        await session.commit()
    lines = await told(db)
    assert lines["mail and webhooks"].outcome == Outcome.OK
    off = lines["operators' webhook"]
    assert off.outcome == Outcome.WARNING
    assert off.said == "is turned off; 2 messages are kept for it"
    assert "resolve" in off.advice
