"""`python -m tests.bench.bare`: the yardstick. One workflow of as many activities
that do nothing but wait for a provider, over the same queues, by as many workers of
the same making.

BENCH_NODES: nodes of a cluster, whose queues are served too.
"""

import asyncio
import os
import signal
from contextlib import AsyncExitStack
from datetime import timedelta

import uvloop
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Interceptor

with workflow.unsafe.imports_passed_through():
    from tests.bench.names import BARE
    from workers.build import build
    from workers.ready import announce
    from workflows.engine.plugin import engine_plugin

from workflows.queues import ALL, node_queue


@activity.defn
async def nothing(wait: float) -> None:
    """Takes so many seconds, and that is all."""
    if wait:
        await asyncio.sleep(wait)


@workflow.defn
class BareOrder:
    @workflow.run
    async def run(self, queues: list[str], waits: list[float]) -> None:
        """One activity after the other, on these queues, each as long as it is told."""
        for queue, wait in zip(queues, waits, strict=True):
            await workflow.execute_activity(
                nothing,
                wait,
                task_queue=queue,
                start_to_close_timeout=timedelta(seconds=60),
            )


async def main() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    client = await Client.connect(
        os.environ["TEMPORAL_ADDRESS"],
        namespace=BARE,
        plugins=[engine_plugin(sandboxed=False)],
    )
    nodes = os.environ.get("BENCH_NODES", "").split()
    workers = build(
        client,
        [nothing],
        queues=[*ALL, *map(node_queue, nodes)],
        interceptor=Interceptor(),
        rates={},
        workflows=[BareOrder],
    )
    async with AsyncExitStack() as running:
        for worker in workers:
            await running.enter_async_context(worker)
        announce()
        await stop.wait()


if __name__ == "__main__":
    uvloop.run(main())
