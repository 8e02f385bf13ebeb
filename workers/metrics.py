"""What a worker tells Prometheus of everything that waits, read when it is asked.

Every worker that tells stories tells the same: take the maximum over them, not the sum.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

import structlog
from prometheus_client import Gauge
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeTaskQueueRequest,
    DescribeTaskQueueResponse,
)
from temporalio.client import Client

from models.database import Database
from models.queries import backlog
from workflows.queues import ALL, STORIES

_log = structlog.get_logger(__name__)

_OPEN: Final = Gauge("mpanel_jobs_open", "Jobs that are not over.", ["kind", "status"])
_PARKED: Final = Gauge("mpanel_jobs_parked", "Jobs that wait for a person.", ["reason"])
_OUTBOX: Final = Gauge("mpanel_outbox_due", "Messages that should be out.", ["channel"])
_OUTBOX_AGE: Final = Gauge(
    "mpanel_outbox_oldest_seconds", "How long the oldest has been due.", ["channel"]
)
_EVENTS: Final = Gauge("mpanel_stripe_events_waiting", "Events not acted upon yet.")
_EVENTS_AGE: Final = Gauge(
    "mpanel_stripe_events_oldest_seconds", "How long the oldest has waited."
)
_GATES: Final = Gauge(
    "mpanel_gates_closed", "Provider accounts that told us to wait.", ["provider"]
)
_WORKERS: Final = Gauge(
    "mpanel_queue_workers", "Living worker processes of a task queue.", ["queue"]
)
_QUEUE = ["queue", "type"]
_BACKLOG: Final = Gauge("mpanel_queue_backlog", "Tasks that nobody has taken.", _QUEUE)
_BACKLOG_AGE: Final = Gauge(
    "mpanel_queue_backlog_age_seconds", "How long the oldest of them waits.", _QUEUE
)
_POLLERS: Final = Gauge(
    "mpanel_queue_pollers", "Who asks Temporal for tasks of the queue.", _QUEUE
)
_FAILED: Final = Gauge(
    "mpanel_metrics_stale", "1 while this source could not be read.", ["source"]
)

_FRESH: Final = 2.0
_PATIENCE: Final = timedelta(seconds=3)
_TYPES: Final = {
    "workflow": TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    "activity": TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
}


class Backlogs:
    """Refreshes the gauges, at most every two seconds; a failure leaves them stale."""

    def __init__(self, db: Database, client: Client) -> None:
        self._db, self._client = db, client
        self._lock, self._read_at = asyncio.Lock(), float("-inf")

    async def refresh(self) -> None:
        """Reads rows and task queues, each for some seconds at most."""
        async with self._lock:
            if time.monotonic() - self._read_at < _FRESH:
                return
            await asyncio.gather(
                _bounded("database", self._rows), _bounded("temporal", self._queues)
            )
            self._read_at = time.monotonic()

    async def _rows(self) -> None:
        async with self._db.platform() as session:
            found = await backlog.read(session)
        for gauge in (_OPEN, _PARKED, _OUTBOX, _OUTBOX_AGE, _GATES):
            gauge.clear()
        for (kind, status), many in found.open_jobs.items():
            _OPEN.labels(kind, status).set(many)
        for reason, many in found.parked.items():
            _PARKED.labels(reason).set(many)
        for channel, (many, age) in found.outbox.items():
            _OUTBOX.labels(channel).set(many)
            _OUTBOX_AGE.labels(channel).set(age)
        for provider, many in found.closed_gates.items():
            _GATES.labels(provider).set(many)
        _EVENTS.set(found.events[0])
        _EVENTS_AGE.set(found.events[1])
        for queue in ALL:
            _WORKERS.labels(queue).set(found.workers.get(queue, 0))

    async def _queues(self) -> None:
        looks = [(queue, "activity") for queue in ALL] + [(STORIES, "workflow")]
        seen = await asyncio.gather(*(self._queue(*look) for look in looks))
        for look, found in zip(looks, seen, strict=True):
            age = found.stats.approximate_backlog_age
            _BACKLOG.labels(*look).set(found.stats.approximate_backlog_count)
            _BACKLOG_AGE.labels(*look).set(age.seconds + age.nanos / 1e9)
            _POLLERS.labels(*look).set(len(found.pollers))

    async def _queue(self, queue: str, type_: str) -> DescribeTaskQueueResponse:
        return await self._client.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=self._client.namespace,
                task_queue=TaskQueue(name=queue),
                task_queue_type=_TYPES[type_],
                report_stats=True,
            ),
            timeout=_PATIENCE,
        )


async def _bounded(source: str, read: Callable[[], Awaitable[None]]) -> None:
    try:
        async with asyncio.timeout(_PATIENCE.total_seconds()):
            await read()
    except Exception as error:  # noqa: BLE001 - whatever it is, the rest is told
        _FAILED.labels(source).set(1)
        _log.warning("metrics_stale", source=source, error=type(error).__name__)
    else:
        _FAILED.labels(source).set(0)
