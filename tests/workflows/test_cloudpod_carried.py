"""A CloudPod is carried to another node by its backup: only if it cannot move as it is,
and never by a backup that is older than what it has written since."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlmodel import select
from temporalio.testing import WorkflowEnvironment

from api.services import cloudpods as service
from models.cloudpods import CloudPod, CloudPodSave
from models.database import Database
from models.jobs import Job
from models.servers import Server
from models.states import BackupStatus, JobStatus, Reason, SaveKind
from tests.workflows.node_paths import MIGRATE, REFUSED
from tests.workflows.operator import OPERATOR, abort_item, retry
from tests.workflows.pods import MINI, a_move, a_pod, pod_world
from tests.world import Providers, World

GiB = 1024**3
STANDS = {
    "kind": "fail",
    "op": "DELETE /nodes/{node}/qemu/{vmid}",
    "status": 403,
    "times": 999,
}


@pytest.fixture
async def pods(
    simulators: Providers, db: Database, temporal: WorkflowEnvironment
) -> AsyncIterator[World]:
    async with pod_world(simulators, db, temporal, patience_seconds=20.0) as made:
        yield made


async def about_to_be_carried(world: World, pod: CloudPod) -> Job:
    """Its backup is made, and its old guest still stands."""
    await world.fault("proxmox", REFUSED, STANDS)
    job = await world.parked(await a_move(world, pod))
    assert job.step == "carry_guest", job
    assert guest_of(world, pod).status == "stopped"
    return job


def guest_of(world: World, pod: CloudPod) -> Any:
    return world.providers.proxmox.cluster.guest(pod.vmid)


async def done(world: World) -> list[str]:
    return [effect for effect, _ in await world.effects("proxmox")]


async def test_one_that_was_started_meanwhile_is_not_replaced_by_its_older_backup(
    pods: World,
) -> None:
    pod = await a_pod(pods, MINI)
    job = await about_to_be_carried(pods, pod)
    guest = guest_of(pods, pod)
    guest.status = "running"
    await pods.fault("proxmox", REFUSED)

    await retry(pods, job)
    job = await pods.until(
        lambda: pods.read(Job, job.id), lambda one: one.reason == Reason.CONFLICT
    )

    assert "started after its backup" in str(job.message)
    assert (guest_of(pods, pod), guest.status) == (guest, "running")
    await abort_item(pods, job)
    assert (await pods.ended(job)).status == JobStatus.FAILED
    assert (guest_of(pods, pod), guest.status) == (guest, "running")


async def test_a_later_run_keeps_what_was_written_since_the_earlier_ones_backup(
    pods: World,
) -> None:
    pod = await a_pod(pods, MINI)
    job = await about_to_be_carried(pods, pod)
    await pods.client.get_workflow_handle(job.workflow_id).terminate("by hand")
    job = await pods.until(
        lambda: pods.read(Job, job.id),
        lambda one: one.reason == Reason.RUN_ENDED_OUTSIDE,
    )
    guest = guest_of(pods, pod)
    guest.status = "running"
    guest.config["nameserver"] = "203.0.113.53"
    await pods.fault("proxmox", REFUSED)

    await retry(pods, job)

    job = await pods.ended(job)
    assert job.status == JobStatus.SUCCEEDED, job
    now = guest_of(pods, pod)
    assert (now.node, now.config["nameserver"]) == ("pve2", "203.0.113.53")
    async with pods.db.platform() as session:
        saves = await service.cloudpods.saves(session, pod.id, SaveKind.BACKUP)
    assert [one.status for one in saves] == [BackupStatus.STORED] * 2


@pytest.mark.parametrize(
    "refusal",
    [
        {"status": 400, "message": "Parameter verification failed."},
        {"status": 500, "message": "no space left on device"},
        {"status": 500, "message": "VM 10000 already exists on node 'pve2'"},
    ],
    ids=["parameter", "space", "exists"],
)
async def test_a_refusal_that_says_nothing_of_moving_carries_nothing(
    pods: World, refusal: dict[str, Any]
) -> None:
    pod = await a_pod(pods, MINI)
    await pods.fault("proxmox", {"kind": "fail", "op": MIGRATE, "times": 9, **refusal})

    job = await pods.parked(await a_move(pods, pod))

    assert (job.step, job.reason) == ("move_guest", Reason.REJECTED)
    assert guest_of(pods, pod).status == "running"
    assert {"backup.made", "guest.stopped"} & set(await done(pods)) == set()


async def test_one_with_disks_of_its_nodes_own_moves_running_all_the_same(
    pods: World,
) -> None:
    pod = await a_pod(pods, MINI)
    pods.providers.proxmox.cluster.storages["ceph"]["shared"] = 0

    job = await pods.ended(await a_move(pods, pod))

    assert job.status == JobStatus.SUCCEEDED, job
    assert {"backup.made", "guest.stopped"} & set(await done(pods)) == set()
    guest = guest_of(pods, pod)
    assert (guest.node, guest.status) == ("pve2", "running")


async def test_one_that_hangs_on_its_nodes_hardware_is_carried_as_the_log_says(
    pods: World,
) -> None:
    pod = await a_pod(pods, MINI)
    guest_of(pods, pod).config["hostpci0"] = "0000:01:00.0"

    job = await pods.ended(await a_move(pods, pod))

    assert job.status == JobStatus.SUCCEEDED, job
    assert "backup.made" in await done(pods)
    guest = guest_of(pods, pod)
    assert (guest.node, guest.status) == ("pve2", "running")


async def test_a_migration_that_breaks_off_again_and_again_is_told_not_carried(
    pods: World,
) -> None:
    pod = await a_pod(pods, MINI)
    broken = {"kind": "reject", "op": "task qmigrate", "message": "migration aborted"}
    await pods.fault("proxmox", {**broken, "times": 999})

    job = await pods.parked(await a_move(pods, pod))

    assert (job.step, job.reason) == ("move_guest", Reason.REJECTED)
    assert "migration aborted" in str(job.message)
    assert "backup.made" not in await done(pods)


async def test_nothing_is_removed_here_before_there_is_room_over_there(
    pods: World,
) -> None:
    pod = await a_pod(pods, MINI)
    ceph = pods.providers.proxmox.cluster.storages["ceph"]
    ceph |= {"shared": 0, "avail": GiB}
    await pods.fault("proxmox", REFUSED)

    job = await pods.parked(await a_move(pods, pod))

    assert (job.step, job.reason) == ("carry_guest", Reason.NO_CAPACITY)
    assert "ceph on pve2 has 1 GiB left" in str(job.message)
    node = await pods.read(Server, pod.server_id)
    assert guest_of(pods, pod).node == node.name
    ceph["avail"] = 1024 * GiB
    await retry(pods, job)
    assert (await pods.ended(job)).status == JobStatus.SUCCEEDED


async def test_a_snapshot_that_is_not_ours_is_neither_taken_over_nor_dropped(
    pods: World,
) -> None:
    pod = await a_pod(pods, MINI)
    guest = guest_of(pods, pod)
    guest.snapshots["before"] = {**guest.config, "description": "mine", "snaptime": 1}
    async with pods.db.platform() as session:
        _, job, save = await service.save(
            session, pods.client, OPERATOR, pod.id, SaveKind.SNAPSHOT, name="before"
        )

    job = await pods.parked(job)

    assert job.reason == Reason.CONFLICT
    assert "not ours" in str(job.message)
    await abort_item(pods, job)
    assert (await pods.ended(job)).status == JobStatus.FAILED
    assert "before" in guest.snapshots
    async with pods.db.platform() as session:
        kept = (await session.exec(select(CloudPodSave))).one()
    assert (kept.id, kept.status) == (save.id, BackupStatus.FAILED)
