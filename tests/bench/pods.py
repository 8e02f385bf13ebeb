"""CloudPods, all at once, through the whole engine: how fast, and none twice."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from sqlmodel import func, select
from temporalio.client import Client

from models.cloudpods import CloudPod
from models.database import Database
from models.jobs import JobStep
from models.queries.addresses import add_pool, add_vmids
from models.servers import PROXMOX, Server
from models.states import ServiceStatus
from tests.bench.cluster import MEMORY, NODES
from tests.bench.cost import percentile
from tests.bench.loader import order
from tests.bench.names import BARE
from tests.bench.orders import Burst, Engine, Yardstick, seeded
from tests.bench.simulated import simulated
from tests.bench.stand import Stand
from tests.bench.table import Line, say
from workflows.engine.plugin import engine_plugin
from workflows.queues import NODE, node_queue

AT_ONCE = 200
SIMULATED = 20
PRICE = 999  # cloudpod_mini
ITEMS = [{"code": "cloudpod_mini", "type": "cloudpod"}]


@dataclass
class OverNodes(Yardstick):
    """The bare workflows, each over the queue of one node or another, as CloudPods are
    spread."""

    def queues_of(self, number: int) -> list[str]:
        node = node_queue(NODES[number % len(NODES)])
        return [node if one.startswith(NODE) else one for one in self.queues]


async def pods(here: Stand) -> list[Line]:
    """200 paid orders of one each at once, and as many bare workflows; then a few
    with the simulated cluster."""
    url, told = here.database("bench_pods"), here.folder.path / "cluster.json"
    db = await _furnished(url)
    worker = await here.worker(
        "pod_worker",
        "tests.bench.worker",
        url,
        BENCH_DELAYS="0,0,0",
        BENCH_PRICE=str(PRICE),
        BENCH_CLUSTER=str(told),
    )
    web = await here.web("pod_api", "api", url)
    plugin = engine_plugin()
    ours = Engine(
        here,
        db,
        await Client.connect(here.temporal, plugins=[plugin]),
        web.port,
        ("pod_api", "pod_worker", "temporal", "postgres"),
        orders=_ordered,
        makes=CloudPod,
        patience=900.0,
    )
    await ours.burst(5)
    shape = await ours.shape()
    bare = await here.worker(
        "pod_bare", "tests.bench.bare", url, BENCH_NODES=" ".join(NODES)
    )
    yard = await Client.connect(here.temporal, namespace=BARE, plugins=[plugin])
    yardstick = OverNodes(here, yard, shape.queues, ("pod_bare", "temporal"))
    await yardstick.burst(5)
    say(f"{AT_ONCE} CloudPods at once, then as many bare workflows")
    own, other = await ours.burst(AT_ONCE), await yardstick.burst(AT_ONCE)
    await here.stop(worker, bare, web)
    doubled = await _doubled(db, json.loads(told.read_text()))
    again = await _tried_again(db)
    await db.close()
    say(f"{SIMULATED} CloudPods at once, with simulators")
    few = await simulated(SIMULATED, ITEMS, price=PRICE, makes=CloudPod)
    pace = other.seconds / AT_ONCE
    return [
        Line(
            f"{AT_ONCE} CloudPods at once: pods/s, of bare workflows/s",
            other.seconds / own.seconds,
        ),
        Line("  by CPU seconds of all processes", other.cpu / own.cpu),
        Line("  our CloudPods/s", AT_ONCE / own.seconds, unit="/s"),
        Line("  CPU seconds of a CloudPod", own.cpu / AT_ONCE, unit="s"),
        Line("  order to live, p50", median(own.latencies), unit="s"),
        Line("  order to live, p95", percentile(own.latencies, 0.95), unit="s"),
        *(
            Line(f"  doubled {what}", many, 0, unit="")
            for what, many in doubled.items()
        ),
        Line("  steps tried again", again, unit=""),
        Line("Temporal actions of a CloudPod's order", shape.actions, unit=""),
        Line("  of them heartbeats", shape.heartbeats, unit=""),
        Line("  activities of a CloudPod's order", len(shape.queues), unit=""),
        Line("  events of a CloudPod's order", shape.events, unit=""),
        *beside("CloudPods", SIMULATED, few, pace),
    ]


def beside(what: str, number: int, few: Burst, pace: float) -> list[Line]:
    """Told beside the others: with simulators. `pace`: seconds of a bare workflow."""
    return [
        Line(
            f"{number} {what} with simulators: /s, of bare workflows/s",
            number * pace / few.seconds,
        ),
        Line("  order to live, p50", median(few.latencies), unit="s"),
        Line("  CPU seconds of each, simulators too", few.cpu / number, unit="s"),
    ]


def _ordered(number: int) -> Iterable[bytes]:
    return (order(items=ITEMS) for _ in range(number))


async def _furnished(url: str) -> Database:
    """Nodes, addresses and VMIDs for everybody."""
    db = await seeded(url)
    async with db.platform() as session:
        for name in NODES:
            memory = MEMORY >> 20
            session.add(Server(name=name, role=PROXMOX, memory=memory, cores=256))
        await add_pool(
            session, name="pods", network="198.18.0.0/22", gateway="198.18.0.1"
        )
        await add_vmids(session, 10_000, 10_999)
        await session.commit()
    return db


async def _doubled(db: Database, told: dict[str, Any]) -> dict[str, int]:
    """How often anything was given twice, by our rows and by the cluster. Every
    CloudPod has one guest, and that one has its address."""
    async with db.platform() as session:
        rows = await session.exec(
            select(CloudPod).where(CloudPod.status == ServiceStatus.ACTIVE)
        )
        live = rows.all()
    there = told["guests"]
    assert len(live) >= AT_ONCE
    assert {pod.reference: [pod.ipv4] for pod in live} == {
        one["mark"]: one["ip"] for one in there.values()
    }
    assert {str(pod.vmid): pod.reference for pod in live} == {
        vmid: one["mark"] for vmid, one in there.items()
    }
    assert all(one["status"] == "running" and one["guarded"] for one in there.values())
    return {
        "addresses": _twice([pod.ipv4 for pod in live])
        + _twice([ip for one in there.values() for ip in one["ip"]]),
        "VMIDs": _twice([pod.vmid for pod in live]),
        "guests": _twice([one["mark"] for one in there.values()])
        + told["tasks"]["qmclone"]
        - len(live),
    }


async def _tried_again(db: Database) -> int:
    """Lock waits, time-outs and lost races would show here."""
    async with db.platform() as session:
        counted = select(func.sum(JobStep.tries - 1))
        return int((await session.exec(counted)).one() or 0)


def _twice(given: Sequence[Any]) -> int:
    return sum(many - 1 for many in Counter(given).values())
