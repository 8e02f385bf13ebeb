"""What the doctor says of the work that waits, and what to do about it."""

from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from pydantic import SecretStr

from models.base import utc_now
from models.database import Database
from models.outbox import OutboxMessage
from models.queries.alerts import Finding, raise_alert
from models.queries.outbox import OPERATOR
from models.states import JobKind, JobStatus
from models.tenants import MIGRAHOSTING
from tests.api import rows
from tests.conftest import PASSWORD, Cluster
from workers.dev.postgres import SUPERUSER
from workers.doctor.examine import examine, lines, probes
from workers.doctor.lines import Line, Outcome
from workers.doctor.settings import DoctorSettings, Given
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


@pytest.fixture
def stranger(cluster: Cluster, database_name: str) -> Iterator[str]:
    """Where a role that the migration was never told of reaches the database."""
    admin = cluster.url(SUPERUSER, database_name)
    made = f"stranger_{uuid4().hex[:8]}"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"create role {made} login password '{PASSWORD}'")
    yield cluster.url(made, database_name)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"drop role {made}")


async def test_a_role_that_the_tables_are_not_granted_to_is_told_what_to_do(
    db: Database, stranger: str
) -> None:
    settings = DoctorSettings.model_construct(database_url=SecretStr(stranger))
    given = Given(settings, {})
    looks = [one for one in probes(given) if one.area in ("PostgreSQL", "Work")]

    told = {(area, one.name): one for area, one in lines(await examine(given, looks))}

    assert "own fault" not in str(told), told
    line = told["PostgreSQL", "rights"]
    assert line.outcome == Outcome.FAILURE
    role = urlsplit(stranger).username
    assert f"MPANEL_APP_ROLE={role}" in line.advice
    assert told["Work", "rows"].outcome == Outcome.SKIPPED
