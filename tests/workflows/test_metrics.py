"""What a worker tells Prometheus: exactly what has ended and what waits."""

from datetime import timedelta
from uuid import uuid4

import pytest
from prometheus_client import generate_latest
from sqlalchemy import text
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from models import metrics
from models.base import utc_now
from models.database import Database
from models.inbox import StripeEventReceived
from models.jobs import Job
from models.states import JobStatus, Reason
from tests.api import rows
from tests.conftest import free_port
from tests.scraped import Scraped, parsed, scrape
from tests.workflows.paths import REFUSED
from tests.world import Providers, World, world
from workers.heartbeat import Heartbeat
from workers.metrics import Backlogs
from workflows.queues import ALL, HOSTING, STORIES

PRICE = 5498
ENDED = "mpanel_jobs_ended_total"


def now() -> Scraped:
    return parsed(generate_latest().decode())


async def scraped() -> Scraped:
    return now()


def counted(seen: Scraped) -> float:
    """The jobs that have ended, of all kinds."""
    return sum(seen.of(ENDED).values())


async def test_an_orders_jobs_are_counted_as_they_end(here: World) -> None:
    metrics.count_commits()
    before = now()
    paid = await here.pay(PRICE)
    await here.ended(
        await here.job_of(await here.order(customer=paid["customer"]["id"]))
    )
    # Counted as soon as the commit is known here, too.
    after = await here.until(scraped, lambda one: counted(one) - counted(before) >= 3)

    for kind in ("fulfil_order", "website_provision", "backups_enable"):
        labels = {"kind": kind, "outcome": "succeeded"}
        assert after(ENDED, **labels) - before(ENDED, **labels) == 1, kind
    assert counted(after) - counted(before) == 3


async def test_a_parked_job_is_counted_by_its_reason_while_it_waits(
    here: World,
) -> None:
    backlogs = Backlogs(here.db, here.client)
    await here.fault("hosting", REFUSED)
    paid = await here.pay(PRICE)
    order = await here.order(customer=paid["customer"]["id"])
    await here.parked((await here.jobs(order))["website_provision"])
    await backlogs.refresh()
    told = now()

    assert told("mpanel_jobs_parked", reason=Reason.REJECTED) == 1
    kind = {"kind": "website_provision", "status": "needs_attention"}
    assert told("mpanel_jobs_open", **kind) == 1


async def test_each_queue_tells_its_backlog_and_its_pollers(here: World) -> None:
    backlogs = Backlogs(here.db, here.client)
    await Heartbeat(here.db, [STORIES], {}).beat()

    async def refreshed() -> Scraped:
        await backlogs.refresh()
        return now()

    def served(told: Scraped) -> bool:
        acts = [{"queue": queue, "type": "activity"} for queue in ALL]
        stories = {"queue": STORIES, "type": "workflow"}
        return not any(told("mpanel_queue_backlog", **one) for one in acts) and all(
            told("mpanel_queue_pollers", **one) >= 1 for one in (*acts, stories)
        )

    told = await here.until(refreshed, served)
    assert told("mpanel_queue_workers", queue=STORIES) == 1
    assert told("mpanel_queue_workers", queue=HOSTING) == 0


async def test_a_queue_without_a_worker_tells_how_much_waits_and_for_how_long(
    db: Database, simulators: Providers, temporal: WorkflowEnvironment
) -> None:
    target = temporal.client.service_client.config.target_host
    others = tuple(queue for queue in ALL if queue != HOSTING)
    labels = {"queue": HOSTING, "type": "activity"}
    async with world(simulators, db, target, queues=others) as here:
        for _ in range(2):
            paid = await here.pay(PRICE)
            await here.order(customer=paid["customer"]["id"])

        async def told() -> Scraped:
            await Backlogs(here.db, here.client).refresh()
            return now()

        seen = await here.until(
            told, lambda one: one("mpanel_queue_backlog", **labels) == 2
        )
        before = seen("mpanel_queue_backlog_age_seconds", **labels)
        await here.until(
            told,
            lambda one: one("mpanel_queue_backlog_age_seconds", **labels) >= before + 1,
        )


async def test_what_waits_is_counted_with_its_age(
    db: Database,
) -> None:
    nobody = await Client.connect(f"127.0.0.1:{free_port()}", lazy=True)
    await rows.add(db, rows.job(status=JobStatus.RUNNING), rows.job())
    received = utc_now() - timedelta(seconds=90)
    event = StripeEventReceived(event_id="evt_1", type="x", created_at=received)
    await rows.add(db, event)
    async with db.platform() as session:
        connection = await session.connection()
        for statement in (
            "insert into outbox (id, created_at, tenant_id, channel, recipient,"
            " template, subject_id, facts, status, attempts, next_at) select"
            " gen_random_uuid(), now(), id, 'mail', 'a@example.com', 'welcome',"
            " gen_random_uuid(), '{}', 'queued', 0, now() - interval '60 s'"
            " from tenants",
            "insert into provider_accounts (id, created_at, account, blocked_until)"
            " values (gen_random_uuid(), now(), 'stripe:4242', now() + '1 min')",
        ):
            await connection.execute(text(statement))
        await session.commit()
    await Backlogs(db, nobody).refresh()
    told = now()

    assert sum(told.of("mpanel_jobs_open").values()) == 2
    assert told("mpanel_outbox_due", channel="mail") == 1
    assert 60 <= told("mpanel_outbox_oldest_seconds", channel="mail") < 120
    assert told("mpanel_stripe_events_waiting") == 1
    assert 90 <= told("mpanel_stripe_events_oldest_seconds") < 150
    assert told("mpanel_gates_closed", provider="stripe") == 1
    assert told("mpanel_metrics_stale", source="database") == 0
    # Temporal is away: the rest is told all the same.
    assert told("mpanel_metrics_stale", source="temporal") == 1
    assert "4242" not in told.text


async def test_only_what_is_committed_counts_and_only_once(db: Database) -> None:
    metrics.count_commits()
    job, event = rows.job(), StripeEventReceived(event_id=uuid4().hex, type="x")
    await rows.add(db, job, event)
    before = now()
    for commits in (False, True, True):
        async with db.platform() as session:
            ended = await session.get_one(type(job), job.id)
            acted_on = await session.get_one(type(event), event.id)
            ended.status = JobStatus.SUCCEEDED
            acted_on.handled_at = acted_on.handled_at or utc_now()
            await session.flush()
            await (session.commit() if commits else session.rollback())
    after = now()

    labels = {"kind": str(job.kind), "outcome": "succeeded"}
    assert after(ENDED, **labels) - before(ENDED, **labels) == 1
    lag = "mpanel_stripe_event_lag_seconds_count"
    assert after(lag) - before(lag) == 1


@pytest.mark.parametrize("commits", [True, False])
async def test_a_savepoint_that_is_taken_back_takes_its_own_count_and_no_other(
    db: Database, commits: bool
) -> None:
    metrics.count_commits()
    kept, dropped, released = [rows.job() for _ in range(3)]
    await rows.add(db, kept, dropped, released)
    before = now()
    async with db.platform() as session:
        (await session.get_one(Job, kept.id)).status = JobStatus.SUCCEEDED
        await session.flush()
        async with session.begin_nested() as savepoint:
            (await session.get_one(Job, dropped.id)).status = JobStatus.FAILED
            await session.flush()
            await savepoint.rollback()
        async with session.begin_nested():
            (await session.get_one(Job, released.id)).status = JobStatus.CANCELLED
        await (session.commit() if commits else session.rollback())
    after = now()

    for outcome, counted in (("succeeded", 1), ("failed", 0), ("cancelled", 1)):
        labels = {"kind": str(kept.kind), "outcome": outcome}
        told = after(ENDED, **labels) - before(ENDED, **labels)
        assert told == counted * commits, outcome


async def test_connections_in_use_are_told(db: Database) -> None:
    port = free_port()
    settings = metrics.MetricsSettings(metrics_port=port)
    async with metrics.served(settings, db), db.platform() as session:
        assert (await scrape(port))("mpanel_database_connections", state="used") == 0
        await session.connection()
        assert (await scrape(port))("mpanel_database_connections", state="used") == 1
