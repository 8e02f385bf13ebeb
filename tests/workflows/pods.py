"""CloudPods as customers order them, and what of them lives in the cluster."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from temporalio.testing import WorkflowEnvironment

from api.auth.actor import Actor
from models.cloudpods import CloudPod
from models.database import Database
from models.jobs import Job
from models.orders import Order
from models.seed import seed_cluster
from models.states import JobKind, OrderStatus
from tests.workflows.operator import OPERATOR
from tests.workflows.shop import buy, settled
from tests.world import NODE_QUEUES, Providers, World, world
from workflows.queues import ALL

MINI, NANO = ("cloudpod_mini", "cloudpod"), ("cloudpod_nano", "cloudpod")
PRICES = {MINI: 999, NANO: 499}
# No virtual machine's agent ever answers.
SILENT = {
    "kind": "fail",
    "op": "GET /nodes/{node}/qemu/{vmid}/agent/*",
    "times": 1000,
    "message": "QEMU guest agent is not running",
}


@asynccontextmanager
async def pod_world(
    simulators: Providers, db: Database, temporal: WorkflowEnvironment, **changed: Any
) -> AsyncIterator[World]:
    """A world with three nodes, whose steps give up after two seconds of trouble, and
    where removals are not held."""
    target = temporal.client.service_client.config.target_host
    given = {
        "patience_seconds": 2.0,
        "undo_patience_seconds": 2.0,
        "cloudpod_hold_seconds": 0.0,
        # Nobody listens there.
        "cloudpod_reached_at": "127.0.0.1:1",
        **changed,
    }
    async with world(
        simulators, db, target, queues=(*ALL, *NODE_QUEUES), **given
    ) as made:
        async with db.platform() as session:
            await seed_cluster(session)
            await session.commit()
        yield made


async def pod_of(world: World, order: Order) -> CloudPod:
    """What the order's only CloudPod is now."""
    job = (await world.jobs(order))[JobKind.CLOUDPOD_PROVISION]
    return await world.read(CloudPod, job.subject_id)


async def a_pod(world: World, item: tuple[str, str] = NANO) -> CloudPod:
    """One that was ordered, paid and built."""
    _, order = await settled(world, await buy(world, item, price=PRICES[item]))
    assert order.status == OrderStatus.COMPLETED
    return await pod_of(world, order)


async def ask(
    world: World,
    what: Any,
    pod: CloudPod,
    *given: Any,
    actor: Actor = OPERATOR,
    **more: Any,
) -> Job:
    """What the service `what` is asked for, as the API does; the job."""
    async with world.db.platform() as session:
        asked = await what(session, world.client, actor, pod.id, *given, **more)
    job: Job = asked[1]
    return job


async def a_move(world: World, pod: CloudPod) -> Job:
    """The job that moves it to another node, as a drain makes it."""
    job = Job(
        tenant_id=pod.tenant_id,
        kind=JobKind.CLOUDPOD_MOVE,
        subject_id=pod.id,
        exclusive=False,
    )
    async with world.db.platform() as session:
        session.add(job)
        await session.commit()
    return job


async def held(world: World, op: str) -> None:
    """Waits for the operation that a script `hold` keeps from its effect."""

    async def begun() -> bool:
        return any(
            (one["op"], one["fault"]) == (op, "hold")
            for one in await world.calls("proxmox")
        )

    await world.until(begun, bool)


def hold(op: str) -> dict[str, Any]:
    """The script that holds up the first such operation until it is taken back."""
    return {"kind": "hold", "op": op}


async def guests(world: World) -> dict[str, dict[str, Any]]:
    """What lives in the cluster, by name; templates are furniture."""
    ledger = await world.control("proxmox", "GET", "ledger")
    found = ledger["objects"].get("guest", [])
    return {
        one.get("name") or one["hostname"]: one for one in found if not one["template"]
    }


async def records(world: World) -> set[tuple[str, str]]:
    """(type, content) of every address and every name that leads back."""
    ledger = await world.control("powerdns", "GET", "ledger")
    found = ledger["objects"].get("record", [])
    return {
        (one["type"], one["contents"][0])
        for one in found
        if one["type"] in ("A", "AAAA", "PTR")
    }
