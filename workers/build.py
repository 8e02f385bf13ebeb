"""Workers: one per task queue, so that one provider's outage fills only its own."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.worker import Interceptor, Worker

from workflows.queues import NODE, STORIES
from workflows.registry import WORKFLOWS

# Short, so that a cancellation and a dead worker are noticed within seconds.
_BEAT = timedelta(seconds=1)
_STICKY = timedelta(seconds=2)
# What one node clones, starts and moves side by side before each slows the others.
_PER_NODE = 4


def build(
    client: Client,
    activities: Sequence[Callable[..., Any]],
    *,
    queues: Sequence[str],
    interceptor: Interceptor,
    rates: Mapping[str, float],
    drain: float = 20.0,
    workflows: Sequence[type] = WORKFLOWS,
    cached_runs: int = 1000,
) -> list[Worker]:
    """A worker for each queue. `rates`: steps per second of a queue, over all workers.

    `drain`: seconds that running steps have to end when the process is told to stop.
    `cached_runs`: kept in memory between their tasks; the others are replayed.

    The converter and the sandbox come from the client's plugin.
    """
    return [
        Worker(
            client,
            task_queue=queue,
            workflows=workflows if queue == STORIES else [],
            max_cached_workflows=cached_runs,
            activities=activities,
            interceptors=[interceptor],
            max_task_queue_activities_per_second=rates.get(queue),
            max_concurrent_activities=_at_once(queue),
            max_heartbeat_throttle_interval=_BEAT,
            default_heartbeat_throttle_interval=_BEAT,
            sticky_queue_schedule_to_start_timeout=_STICKY,
            graceful_shutdown_timeout=timedelta(seconds=drain),
            # Eager steps would pass the rate limit by.
            disable_eager_activity_execution=queue in rates,
        )
        for queue in queues
    ]


def _at_once(queue: str) -> int:
    if queue.startswith(NODE):
        return _PER_NODE
    return 50 if queue == STORIES else 20
