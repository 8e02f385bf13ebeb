"""A node is emptied: what runs there goes on elsewhere, each moved exactly once."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlmodel import select
from temporalio.testing import WorkflowEnvironment

from api.services import cloudpods as pods_service
from api.services import servers as service
from models.cloudpods import CloudPod
from models.database import Database
from models.effects import Effect
from models.jobs import Job
from models.servers import Server
from models.states import (
    Drift,
    JobKind,
    JobStatus,
    Reason,
    ServiceStatus,
    SuspensionReason,
)
from tests.workflows.node_paths import MIGRATE, REFUSED
from tests.workflows.operator import OPERATOR, abort_item, retry, steps
from tests.workflows.pods import MINI, NANO, a_pod, ask, guests, held, hold, pod_world
from tests.world import Providers, World

SLOW = {"task qmigrate": 3}


@pytest.fixture
async def pods(
    simulators: Providers, db: Database, temporal: WorkflowEnvironment
) -> AsyncIterator[World]:
    async with pod_world(simulators, db, temporal, patience_seconds=20.0) as made:
        yield made


async def node_of(world: World, pod: CloudPod) -> Server:
    row = await world.read(CloudPod, pod.id)
    return await world.read(Server, row.server_id)


async def drain(world: World, node: Server) -> Job:
    """As the API does; the job."""
    async with world.db.platform() as session:
        _, job = await service.drain(session, world.client, OPERATOR, node.id)
    return job


async def room_elsewhere(world: World, node: Server, memory: int) -> None:
    """So many MiB may every other node promise."""
    async with world.db.platform() as session:
        for other in (await session.exec(select(Server))).all():
            if other.id != node.id:
                other.memory = memory
        await session.commit()


async def moves(world: World) -> Counter[str]:
    """How often each guest was moved."""
    effects = await world.effects("proxmox")
    return Counter(key for effect, key in effects if effect == "guest.moved")


async def move_of(world: World, pod: CloudPod) -> Job:
    """The job that moves it, when there is one."""

    async def read() -> Job | None:
        async with world.db.platform() as session:
            found = await session.exec(
                select(Job).where(
                    Job.subject_id == pod.id, Job.kind == JobKind.CLOUDPOD_MOVE
                )
            )
            return found.first()

    found = await world.until(read, lambda job: job is not None)
    assert found is not None
    return found


async def stuck(world: World) -> tuple[CloudPod, Server, Job, Job]:
    """What stands on a node, the node, its drain, and a move that has nowhere to go."""
    pod = await a_pod(world, MINI)
    node = await node_of(world, pod)
    await room_elsewhere(world, node, 0)
    job = await drain(world, node)
    return pod, node, job, await world.parked(await move_of(world, pod))


async def said(world: World, job: Job) -> list[str]:
    """What its steps say of themselves."""
    return [str(step.message) for step in await steps(world, job)]


async def gone_on(world: World, pod: CloudPod, left: Server, *, status: str) -> None:
    """It is on another node, as its row and its effect say."""
    now, node = await world.read(CloudPod, pod.id), await node_of(world, pod)
    assert node.id != left.id
    assert now.moving_to is None
    guest = world.providers.proxmox.cluster.guest(pod.vmid)
    assert (guest.node, guest.status) == (node.name, status)
    assert now.seen == status
    async with world.db.platform() as session:
        effect = (
            await session.exec(select(Effect).where(Effect.reference == str(pod.id)))
        ).one()
    assert effect.facts["node"] == node.name


@pytest.mark.parametrize("item", [MINI, NANO])
async def test_a_drained_node_is_empty_and_its_guests_run_elsewhere(
    pods: World, item: tuple[str, str]
) -> None:
    pod = await a_pod(pods, item)
    node = await node_of(pods, pod)
    before = Counter(effect for effect, _ in await pods.effects("proxmox"))

    job = await pods.ended(await drain(pods, node))

    assert job.status == JobStatus.SUCCEEDED, job
    await gone_on(pods, pod, node, status="running")
    assert await moves(pods) == {str(pod.vmid): 1}
    now = Counter(effect for effect, _ in await pods.effects("proxmox"))
    restarts = now["guest.stopped"] - before["guest.stopped"]
    assert item == NANO or restarts == 0
    assert (await pods.read(Server, node.id)).draining
    assert (await a_pod_elsewhere(pods)).server_id != node.id


async def a_pod_elsewhere(world: World) -> CloudPod:
    from tests.workflows.pods import PRICES, pod_of
    from tests.workflows.shop import buy, settled

    order = await buy(world, NANO, price=PRICES[NANO], key="another")
    _, order = await settled(world, order)
    return await pod_of(world, order)


async def test_a_suspended_one_moves_standing_still(pods: World) -> None:
    pod = await a_pod(pods, MINI)
    node = await node_of(pods, pod)
    async with pods.db.platform() as session:
        why = SuspensionReason.TENANT_REQUEST
        _, job = await pods_service.suspend(
            session, pods.client, OPERATOR, pod.id, reason=why
        )
    await pods.ended(job)

    job = await pods.ended(await drain(pods, node))

    assert job.status == JobStatus.SUCCEEDED, job
    await gone_on(pods, pod, node, status="stopped")
    assert (await pods.read(CloudPod, pod.id)).status == ServiceStatus.SUSPENDED


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "execute_then_timeout", "op": MIGRATE, "seconds": 0.1},
        {"kind": "execute_then_fail", "op": MIGRATE, "status": 500},
        {"kind": "fail", "op": MIGRATE, "status": 595},
        {"kind": "reject", "op": "task qmigrate", "message": "migration aborted"},
    ],
)
async def test_whatever_befalls_the_call_it_is_moved_once(
    pods: World, fault: dict[str, Any]
) -> None:
    pod = await a_pod(pods, MINI)
    node = await node_of(pods, pod)
    await pods.fault("proxmox", {"times": 1, **fault})

    job = await pods.ended(await drain(pods, node))

    assert job.status == JobStatus.SUCCEEDED, job
    await gone_on(pods, pod, node, status="running")
    assert await moves(pods) == {str(pod.vmid): 1}
    assert [one["op"] for one in await pods.calls("proxmox")].count(fault["op"]) > 0


@pytest.mark.parametrize(
    ("item", "task"), [(MINI, "task qmigrate"), (NANO, "task vzmigrate")]
)
async def test_a_worker_that_ends_amid_a_move_leaves_one_move(
    pods: World, item: tuple[str, str], task: str
) -> None:
    pod = await a_pod(pods, item)
    node = await node_of(pods, pod)
    await pods.control("proxmox", "PUT", "settings", json={"delays": {task: 3}})
    job = await drain(pods, node)

    async def moving() -> bool:
        return any(one["op"] == task for one in await pods.calls("proxmox"))

    await pods.until(moving, bool)

    await pods.worker.stop()
    pods.worker.start()

    job = await pods.ended(job)
    assert job.status == JobStatus.SUCCEEDED, job
    await gone_on(pods, pod, node, status="running")
    assert await moves(pods) == {str(pod.vmid): 1}
    asked = [one["op"] for one in await pods.calls("proxmox")]
    assert len([one for one in asked if one.endswith("/migrate")]) == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "execute_then_timeout", "op": MIGRATE, "seconds": 0.1},
        {"kind": "fail", "op": "GET /nodes/{node}/tasks/{upid}/status", "status": 595},
    ],
)
async def test_a_move_whose_end_nobody_saw_is_waited_for_and_not_asked_for_again(
    pods: World, fault: dict[str, Any]
) -> None:
    pod = await a_pod(pods, MINI)
    node = await node_of(pods, pod)
    await pods.control("proxmox", "PUT", "settings", json={"delays": SLOW})
    await pods.fault("proxmox", {"times": 1, **fault})

    job = await pods.ended(await drain(pods, node))

    assert job.status == JobStatus.SUCCEEDED, job
    await gone_on(pods, pod, node, status="running")
    asked = [one["op"] for one in await pods.calls("proxmox")]
    assert asked.count(MIGRATE) == 1
    assert await moves(pods) == {str(pod.vmid): 1}


@pytest.mark.parametrize("lost", ["task qmdestroy", "POST /nodes/{node}/qemu"])
async def test_a_run_that_is_lost_halfway_is_carried_on_by_the_next(
    pods: World, lost: str
) -> None:
    pod = await a_pod(pods, MINI)
    node = await node_of(pods, pod)
    await pods.fault("proxmox", REFUSED, hold(lost))
    job = await drain(pods, node)
    move = await move_of(pods, pod)
    await held(pods, lost)
    move = await pods.read(Job, move.id)
    await pods.client.get_workflow_handle(move.workflow_id).terminate("by hand")
    await pods.fault("proxmox", REFUSED)
    await retry(pods, await pods.parked(move))

    job = await pods.ended(job)
    assert job.status == JobStatus.SUCCEEDED, job
    await gone_on(pods, pod, node, status="running")
    assert len(await guests(pods)) == 1
    effects = Counter(effect for effect, _ in await pods.effects("proxmox"))
    assert (effects["guest.created"], effects["guest.removed"]) == (2, 1)


async def test_one_that_is_nowhere_but_in_its_backup_is_carried_on_by_the_next_run(
    pods: World,
) -> None:
    pod = await a_pod(pods, MINI)
    node = await node_of(pods, pod)
    full = {"kind": "fail", "op": "POST /nodes/{node}/qemu", "status": 500}
    full |= {"message": "no space left on device", "times": 1}
    await pods.fault("proxmox", REFUSED, full)
    job = await drain(pods, node)
    move = await pods.parked(await move_of(pods, pod))
    assert await guests(pods) == {}

    await pods.client.get_workflow_handle(move.workflow_id).terminate("by hand")
    move = await pods.until(
        lambda: pods.read(Job, move.id),
        lambda one: one.reason == Reason.RUN_ENDED_OUTSIDE,
    )
    await retry(pods, move)

    job = await pods.ended(job)
    assert job.status == JobStatus.SUCCEEDED, job
    await gone_on(pods, pod, node, status="running")


async def test_where_moving_is_refused_its_backup_is_restored_over_there(
    pods: World,
) -> None:
    pod = await a_pod(pods, MINI)
    node = await node_of(pods, pod)
    await pods.fault("proxmox", REFUSED)

    job = await pods.ended(await drain(pods, node))

    assert job.status == JobStatus.SUCCEEDED, job
    await gone_on(pods, pod, node, status="running")
    effects = [effect for effect, _ in await pods.effects("proxmox")]
    assert "guest.moved" not in effects
    assert effects.index("backup.made") < effects.index("guest.removed")
    assert len(await guests(pods)) == 1


async def test_a_drain_says_whom_it_waits_for_and_a_retry_asks_again(
    pods: World,
) -> None:
    pod, node, job, move = await stuck(pods)
    assert move.reason == Reason.NO_CAPACITY
    assert move.batch, "nobody waits for it as for an order"
    await abort_item(pods, move)
    await pods.ended(move)

    job = await pods.parked(job)

    assert "was given up" in str(job.message)
    assert pod.name in str(job.message)
    await room_elsewhere(pods, node, 61_440)
    await retry(pods, job)
    job = await pods.ended(job)
    assert job.status == JobStatus.SUCCEEDED
    assert await moves(pods) == {str(pod.vmid): 1}


async def test_one_that_is_removed_instead_of_moved_holds_no_drain_up(
    pods: World,
) -> None:
    pod, _, job, move = await stuck(pods)
    slow = {"delays": {"task vzdump": 6, "task qmdestroy": 2}}
    await pods.control("proxmox", "PUT", "settings", json=slow)
    removal = await ask(pods, pods_service.delete, pod)
    await abort_item(pods, move)

    assert (await pods.ended(removal)).status == JobStatus.SUCCEEDED
    assert (await pods.ended(job)).status == JobStatus.SUCCEEDED
    assert await moves(pods) == {}


async def test_undrained_a_node_takes_cloudpods_again(pods: World) -> None:
    pod = await a_pod(pods, MINI)
    node = await node_of(pods, pod)
    await pods.fault("proxmox", hold("task qmigrate"))
    job = await drain(pods, node)
    move = await move_of(pods, pod)

    async with pods.db.platform() as session:
        watched = await service.undrain(session, OPERATOR, node.id)

    assert watched.status == "online"
    assert (await pods.ended(job)).status in (JobStatus.FAILED, JobStatus.CANCELLED)
    assert not (await pods.read(Server, node.id)).draining
    await pods.fault("proxmox")
    assert (await pods.ended(move)).status == JobStatus.SUCCEEDED


async def test_a_node_is_not_called_empty_while_a_guest_is_where_no_row_says(
    pods: World,
) -> None:
    pod = await a_pod(pods, MINI)
    guest = pods.providers.proxmox.cluster.guest(pod.vmid)
    home = guest.node
    async with pods.db.platform() as session:
        nodes = (await session.exec(select(Server))).all()
        (away, *_) = [
            one for one in nodes if one.name.startswith("pve") and one.name != home
        ]
        # Whoever looks at the cluster meanwhile sees it so, too.
        guest.node = away.name
        (await session.get_one(CloudPod, pod.id)).drift = Drift.ELSEWHERE
        await session.commit()

    job = await drain(pods, away)

    told = await pods.until(
        lambda: said(pods, job), lambda words: any("repair" in one for one in words)
    )
    assert any(pod.name in one for one in told)
    assert (await pods.read(Job, job.id)).status == JobStatus.RUNNING
    repair = await ask(pods, pods_service.repair, pod)
    assert (await pods.ended(repair)).status == JobStatus.SUCCEEDED
    job = await pods.ended(job)
    assert job.status == JobStatus.SUCCEEDED
    await gone_on(pods, pod, away, status="running")
