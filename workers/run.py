"""The worker process: connect, poll the queues, run the loops, drain on SIGTERM."""

import asyncio
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from functools import partial

import psycopg
import structlog
from sqlalchemy.exc import SQLAlchemyError
from temporalio.client import Client

from models import metrics
from models.database import Database
from models.queries.backups import active_plans
from workers import bounces, idempotency, logins
from workers.anchors import DailyAnchor
from workers.build import build
from workers.clients import clients_of
from workers.gates import CHANNEL as GATES
from workers.heartbeat import Heartbeat, looks_of
from workers.loops import Loop, listen
from workers.metrics import Backlogs
from workers.money import NightlyBooks
from workers.nodes import NodeWorkers
from workers.progress import ProgressWriter
from workers.ready import announce
from workers.reconcile import Reconciler
from workers.settings import WorkerSettings
from workers.steps import StepInterceptor
from workers.sweep import Sweep
from workers.wiring import ClientsOf, Wired, wire
from workflows.engine.plugin import engine_plugin
from workflows.queues import ALL, PROXMOX, STORIES
from workflows.schedules import BackupSchedules

_log = structlog.get_logger(__name__)


async def main(
    settings: WorkerSettings,
    queues: Sequence[str] = (),
    clients_of: ClientsOf = clients_of,
) -> None:
    """Runs until SIGTERM or SIGINT, then lets running steps end."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    served = tuple(queues) or ALL
    db = Database(settings.database_url.get_secret_value(), pool_size=20)
    client = await connect(settings, db, stop)
    if client is None:
        return
    wired = wire(settings, client, db, clients_of)
    await wired.gates.refresh()
    progress = ProgressWriter(db)
    steps = StepInterceptor(
        progress,
        patience=settings.patience_seconds,
        undo_patience=settings.undo_patience_seconds,
        longest_wait=settings.longest_wait_seconds,
    )
    built = partial(
        build,
        client,
        wired.activities,
        interceptor=steps,
        rates=settings.rates,
    )
    workers = built(queues=served)
    loops = [Loop(GATES, 1.0, wired.gates.refresh)]
    if STORIES in served:
        loops = loops_of(settings, client, db, wired)[0]
    heartbeat = Heartbeat(db, served, looks_of(settings, client))
    loops.append(heartbeat.loop)
    metrics.count_commits()
    backlogs = Backlogs(db, client).refresh if STORIES in served else None
    background = [
        asyncio.create_task(progress.run()),
        asyncio.create_task(listen(db.url, loops)),
        *(asyncio.create_task(one.run()) for one in loops),
    ]
    try:
        async with AsyncExitStack() as running:
            await running.enter_async_context(metrics.served(settings, db, backlogs))
            for worker in workers:
                await running.enter_async_context(worker)
            if PROXMOX in served:
                nodes = NodeWorkers(db, lambda q: built(queues=[q])[0], running)
                await nodes.round()
                by_node = Loop("nodes", 10.0, nodes.round)
                background.append(asyncio.create_task(by_node.run()))
            announce()
            _log.info("worker_ready", queues=served)
            await stop.wait()
            _log.info("worker_draining")
    finally:
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        with suppress(SQLAlchemyError):  # else the row grows stale by itself
            await heartbeat.leave()
        await wired.aclose()


async def connect(
    settings: WorkerSettings, db: Database, stop: asyncio.Event
) -> Client | None:
    """The client, once Temporal and the database answer: they may come up later than
    we do. None if `stop` is first."""
    connecting = asyncio.create_task(_connected(settings, db))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait((connecting, stopped), return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if connecting.done():
        return await connecting
    connecting.cancel()
    return None


async def _connected(settings: WorkerSettings, db: Database) -> Client:
    client: Client | None = None
    while True:
        try:
            client = client or await Client.connect(
                **settings.temporal,
                plugins=[engine_plugin(sandboxed=False)],
            )
            await db.direct.row("select 1", {})
        except RuntimeError as error:
            _log.warning("temporal_away", error=str(error)[:200])
        except psycopg.OperationalError as error:
            _log.warning("database_away", error=str(error)[:200])
        else:
            return client
        await asyncio.sleep(0.5)


def loops_of(
    settings: WorkerSettings, client: Client, db: Database, wired: Wired
) -> tuple[list[Loop], Reconciler]:
    """Every loop of a worker that tells stories."""
    sweep = Sweep(db, client)
    reconciler = Reconciler(
        db, client, every=timedelta(seconds=settings.reconcile_seconds)
    )
    watch = wired.stripe_watch
    books = NightlyBooks(
        db,
        wired.stripe,
        unclaimed_after=timedelta(seconds=settings.unclaimed_after_seconds),
    )
    anchor = DailyAnchor(db, settings.vault, settings.audit_anchor_file)
    return [
        Loop(GATES, 1.0, wired.gates.refresh),
        Loop("start", 1.0, sweep.start_pending, sweep.starts.end),
        Loop("decide", 1.0, sweep.deliver_decisions, sweep.deliveries.end),
        Loop("alarms", settings.alarms_seconds, wired.alarms.round),
        Loop("desk", 1.0, wired.desk.round),
        Loop("outbox", 1.0, partial(wired.relay.round, "mail")),
        Loop("webhooks", 1.0, partial(wired.relay.round, "webhook")),
        Loop("stripe", 5.0, watch.events),
        Loop("repeats", 5.0, watch.repeats),
        Loop("refunds", 5.0, watch.refunds),
        Loop("payments", settings.payments_seconds, watch.payments),
        Loop("reconcile", settings.reconcile_seconds / 4, reconciler.round),
        Loop("rechecks", 5.0, wired.rechecks.round),
        Loop("fleet", 10.0, wired.fleet.nodes),
        Loop("hosts", 30.0, wired.fleet.hosts),
        Loop("samples", 60.0, wired.sampler.round),
        Loop("drift", settings.drift_seconds, wired.drift.round),
        Loop("orphans", settings.orphans_seconds / 4, wired.orphans.round),
        Loop("books", 86400.0, books.round),
        Loop("anchor", 86400.0, anchor.round),
        Loop("answers", 600.0, partial(idempotency.forget, db)),
        Loop("logins", 600.0, partial(logins.forget, db)),
        Loop("bounces", 600.0, partial(bounces.end_for_reached, db)),
        Loop("schedules", 3600.0, partial(restore_schedules, db, wired.schedules)),
    ], reconciler


async def restore_schedules(db: Database, schedules: BackupSchedules) -> None:
    """Temporal may have lost its store: every active plan has its schedule again."""
    async with db.platform() as session:
        plans = await active_plans(session)
    for plan in plans:
        if plan.website_id is not None:
            await schedules.put(plan.website_id, plan.tenant_id)
