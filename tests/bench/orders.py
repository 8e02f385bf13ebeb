"""Orders through the whole engine, against the yardstick, in turns."""

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID, uuid4

from sqlmodel import col, select
from temporalio.client import Client

from models.cloudpods import CloudPod
from models.database import Database
from models.jobs import Job
from models.orders import Order
from models.seed import seed_catalogue
from models.servers import Server
from models.states import OrderStatus
from models.tenants import MIGRAHOSTING
from models.websites import Website
from tests.bench import actions
from tests.bench.bare import BareOrder
from tests.bench.cost import Cost, spent
from tests.bench.loader import load, order
from tests.bench.stand import Stand
from workflows.queues import HOSTING, STORIES


@dataclass(frozen=True)
class Burst:
    """What some orders, placed at once, took. `latencies`: order to live website."""

    seconds: float
    cpu: float
    latencies: Sequence[float]


@dataclass(frozen=True)
class Shape:
    """What one order does in Temporal."""

    queues: list[str]
    actions: int
    events: int
    heartbeats: int


class Costs(Protocol):
    """Who knows what processes have spent."""

    def cost(self, *names: str) -> Cost: ...
    async def heartbeats(self) -> int: ...


def websites(number: int) -> Iterable[bytes]:
    """Signed orders of as many new customers."""
    return (order() for _ in range(number))


@dataclass
class Engine:
    """The API and the worker, over one database. `makes`: what one order becomes."""

    stand: Costs
    db: Database
    client: Client
    port: int
    parts: tuple[str, ...]
    orders: Callable[[int], Iterable[bytes]] = websites
    makes: type[Website] | type[CloudPod] = Website
    patience: float = 120.0

    async def burst(self, number: int) -> Burst:
        """So many orders by webhook, until every one is settled."""
        began = time.time()
        before = self.stand.cost(*self.parts)
        answers = await load(self.port, self.orders(number), lines=8)
        placed = {UUID(json.loads(body)["orderId"]) for _, body, _ in answers}
        settled = await self._settled(placed)
        cpu = spent(before, self.stand.cost(*self.parts))
        ended = max(at.timestamp() for at, _ in settled.values())
        latencies = [live - at for live, at in await self._lives(placed)]
        return Burst(ended - began, cpu, latencies)

    async def _settled(
        self, ids: set[UUID]
    ) -> dict[UUID, tuple[datetime, OrderStatus]]:
        deadline = time.monotonic() + self.patience
        while True:
            async with self.db.platform() as session:
                rows = await session.exec(
                    select(Order.id, Order.completed_at, Order.status).where(
                        col(Order.id).in_(ids)
                    )
                )
                found = {id: (at, status) for id, at, status in rows if at}
            if len(found) == len(ids):
                assert {status for _, status in found.values()} == {"completed"}
                return found
            assert time.monotonic() < deadline, f"{len(found)} of {len(ids)} settled"
            await asyncio.sleep(0.05)

    async def _lives(self, ids: set[UUID]) -> list[tuple[float, float]]:
        async with self.db.platform() as session:
            rows = await session.exec(
                select(self.makes.live_at, Order.created_at)
                .select_from(self.makes)
                .join(Job, col(Job.subject_id) == self.makes.id)
                .join(Order, col(Order.id) == Job.order_id)
                .where(col(Order.id).in_(ids))
            )
            return [(live.timestamp(), at.timestamp()) for live, at in rows if live]

    async def shape(self) -> Shape:
        """Of one undisturbed order, when its runs have closed."""
        before = await self.stand.heartbeats()
        await self.burst(1)
        async with self.db.platform() as session:
            last = select(Order.id).order_by(col(Order.created_at).desc()).limit(1)
            jobs = await session.exec(
                select(Job)
                .where(Job.order_id == last.scalar_subquery())
                .order_by(col(Job.created_at))
            )
            runs = [job.workflow_id for job in jobs]
        queues: list[str] = []
        billed = events = 0
        for run in runs:
            handle = self.client.get_workflow_handle(run)
            await handle.result()
            history = list((await handle.fetch_history()).events)
            queues += actions.activities(history)
            billed += actions.billed(history)
            events += len(history)
        beats = await self.stand.heartbeats() - before
        return Shape(queues, billed + beats, events, beats)


@dataclass
class Yardstick:
    """The bare workflows, by the same server and as many workers."""

    stand: Stand
    client: Client
    queues: list[str]
    parts: tuple[str, ...]

    async def burst(self, number: int, *, site: float = 0.0) -> Burst:
        """So many workflows, until every one has closed. `site`: seconds that the
        first activity on the hosting servers' queue takes."""
        began = time.time()
        before = self.stand.cost(*self.parts)
        ids = [f"bare:{uuid4()}" for _ in range(number)]
        limit = asyncio.Semaphore(8)

        async def begin(number: int, id: str) -> None:
            queues = self.queues_of(number)
            async with limit:
                await self.client.start_workflow(
                    BareOrder.run,
                    args=[queues, waits_of(queues, site)],
                    id=id,
                    task_queue=STORIES,
                )

        await asyncio.gather(*(begin(*one) for one in enumerate(ids)))
        results = (self.client.get_workflow_handle(id).result() for id in ids)
        await asyncio.gather(*results)
        cpu = spent(before, self.stand.cost(*self.parts))
        took = []
        ended = began
        for id in ids:
            run = await self.client.get_workflow_handle(id).describe()
            assert run.close_time
            took.append((run.close_time - run.start_time).total_seconds())
            ended = max(ended, run.close_time.timestamp())
        return Burst(ended - began, cpu, took)

    def queues_of(self, number: int) -> list[str]:
        """Those of the workflow of this number."""
        return self.queues


def waits_of(queues: Sequence[str], site: float) -> list[float]:
    """Seconds of each activity: only the first at a hosting server takes any."""
    waits = [0.0 for _ in queues]
    if site:
        waits[queues.index(HOSTING)] = site
    return waits


async def seeded(database: str) -> Database:
    """Catalogue and one hosting server with room for everybody."""
    db = Database(database, pool_size=4)
    async with db.platform() as session:
        await seed_catalogue(session, MIGRAHOSTING)
        session.add(
            Server(
                name="srv1",
                ssh_host="127.0.0.1",
                ssh_port=9,
                host_key="none",
                http_address="127.0.0.1:9",
                public_ip="192.0.2.10",
                capacity=1_000_000,
            )
        )
        await session.commit()
    return db
