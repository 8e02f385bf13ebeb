"""Workers as a deploy has them: other versions, other caches, side by side."""

import contextlib
from collections.abc import AsyncIterator, Sequence

from temporalio.client import Client

from tests.world import World
from workers.build import build
from workflows.engine.plugin import engine_plugin
from workflows.queues import ALL
from workflows.registry import WORKFLOWS


@contextlib.asynccontextmanager
async def fleet(
    here: World,
    *,
    stories: Sequence[type] = WORKFLOWS,
    queues: Sequence[str] = ALL,
    cached_runs: int = 1000,
    drain: float = 5.0,
) -> AsyncIterator[None]:
    """A worker process' workers; told to stop at the end, they drain."""
    target = here.client.service_client.config.target_host
    # Its own connection, as a process has: one connection may serve a queue once.
    client = await Client.connect(target, plugins=[engine_plugin(sandboxed=False)])
    workers = build(
        client,
        here.wired.activities,
        queues=queues,
        interceptor=here.steps,
        rates={},
        drain=drain,
        workflows=stories,
        cached_runs=cached_runs,
    )
    async with contextlib.AsyncExitStack() as running:
        for worker in workers:
            await running.enter_async_context(worker)
        yield
