"""What differs from its CloudPod is seen on a whole cluster, and a job rights it."""

from collections import Counter
from collections.abc import AsyncIterator

import pytest
from sqlmodel import select
from temporalio.testing import WorkflowEnvironment

from api.services import cloudpods as service
from models.cloudpods import CloudPod
from models.database import Database
from models.effects import Effect
from models.jobs import Job
from models.servers import Server
from models.states import (
    Drift,
    EffectState,
    JobStatus,
    Reason,
    SaveKind,
    SuspensionReason,
)
from tests.workflows.operator import OPERATOR
from tests.workflows.pods import MINI, NANO, a_pod, pod_world
from tests.world import Providers, World

BOTH = pytest.mark.parametrize("item", [MINI, NANO])


@pytest.fixture
async def pods(
    simulators: Providers, db: Database, temporal: WorkflowEnvironment
) -> AsyncIterator[World]:
    async with pod_world(
        simulators, db, temporal, patience_seconds=20.0, drift_seconds=0.5
    ) as made:
        yield made


async def adrift(world: World, pod: CloudPod, wanted: Drift | None) -> CloudPod:
    """The CloudPod, once the watch has seen it so."""
    return await world.until(
        lambda: world.read(CloudPod, pod.id), lambda one: one.drift == wanted
    )


async def repair(world: World, pod: CloudPod) -> Job:
    async with world.db.platform() as session:
        _, job = await service.repair(session, world.client, OPERATOR, pod.id)
    return job


async def repaired(world: World, pod: CloudPod) -> CloudPod:
    job = await world.ended(await repair(world, pod))
    assert job.status == JobStatus.SUCCEEDED, job
    return await adrift(world, pod, None)


def lose(world: World, pod: CloudPod) -> None:
    """Somebody has destroyed its guest behind our back."""
    cluster = world.providers.proxmox.cluster
    kept = cluster.vms if pod.kind == "qemu" else cluster.cts
    kept.remove(cluster.guest(pod.vmid))


@BOTH
async def test_one_that_was_stopped_is_started(
    pods: World, item: tuple[str, str]
) -> None:
    pod = await a_pod(pods, item)
    guest = pods.providers.proxmox.cluster.guest(pod.vmid)
    guest.status = "stopped"
    assert (await adrift(pods, pod, Drift.STOPPED)).seen == "stopped"

    pod = await repaired(pods, pod)

    assert (guest.status, pod.seen) == ("running", "running")


async def test_one_that_runs_though_suspended_is_stopped(pods: World) -> None:
    pod = await a_pod(pods, NANO)
    async with pods.db.platform() as session:
        why = SuspensionReason.TENANT_REQUEST
        asked = await service.suspend(
            session, pods.client, OPERATOR, pod.id, reason=why
        )
    await pods.ended(asked[1])
    guest = pods.providers.proxmox.cluster.guest(pod.vmid)
    guest.status = "running"
    await adrift(pods, pod, Drift.RUNNING)

    pod = await repaired(pods, pod)

    assert (guest.status, pod.seen) == ("stopped", "stopped")


async def test_one_that_a_rebuild_left_without_a_guest_is_ours_again_and_ends_so(
    pods: World,
) -> None:
    pod = await a_pod(pods, NANO)
    async with pods.db.platform() as session:
        _, job, _ = await service.save(
            session, pods.client, OPERATOR, pod.id, SaveKind.BACKUP
        )
    assert (await pods.ended(job)).status == JobStatus.SUCCEEDED
    # Its run was lost after the old guest's end, and then it was given up.
    lose(pods, pod)
    of_guest = Effect.reference == str(pod.id)
    async with pods.db.platform() as session:
        row = (await session.exec(select(Effect).where(of_guest))).one()
        row.state = EffectState.REMOVED
        await session.commit()
    await adrift(pods, pod, Drift.GONE)

    await repaired(pods, pod)

    assert (await pods.read(Effect, row.id)).state == EffectState.PRESENT
    async with pods.db.platform() as session:
        removal = await service.delete(session, pods.client, OPERATOR, pod.id)
    assert (await pods.ended(removal[1])).status == JobStatus.SUCCEEDED
    assert pods.providers.proxmox.cluster.guest(pod.vmid) is None


@BOTH
async def test_one_that_is_gone_comes_back_from_its_newest_backup(
    pods: World, item: tuple[str, str]
) -> None:
    pod = await a_pod(pods, item)
    cluster = pods.providers.proxmox.cluster
    cluster.guest(pod.vmid).config["nameserver"] = "203.0.113.53"
    async with pods.db.platform() as session:
        _, job, _ = await service.save(
            session, pods.client, OPERATOR, pod.id, SaveKind.BACKUP
        )
    assert (await pods.ended(job)).status == JobStatus.SUCCEEDED
    lose(pods, pod)
    await adrift(pods, pod, Drift.GONE)
    await pods.fault(
        "proxmox",
        {
            "kind": "execute_then_timeout",
            "op": f"POST /nodes/{{node}}/{pod.kind}",
            "seconds": 0.1,
            "times": 1,
        },
    )

    pod = await repaired(pods, pod)

    guest = cluster.guest(pod.vmid)
    assert (guest.status, guest.config["nameserver"]) == ("running", "203.0.113.53")
    effects = Counter(effect for effect, _ in await pods.effects("proxmox"))
    assert effects["guest.created"] == 2


async def test_one_that_is_gone_without_a_backup_is_built_anew(pods: World) -> None:
    pod = await a_pod(pods, MINI)
    lose(pods, pod)
    await adrift(pods, pod, Drift.GONE)

    pod = await repaired(pods, pod)

    assert pods.providers.proxmox.cluster.guest(pod.vmid).status == "running"


async def test_one_that_somebody_moved_is_followed(pods: World) -> None:
    pod = await a_pod(pods, MINI)
    node = await pods.read(Server, pod.server_id)
    other = "pve3" if node.name != "pve3" else "pve2"
    pods.providers.proxmox.cluster.guest(pod.vmid).node = other
    await adrift(pods, pod, Drift.ELSEWHERE)

    pod = await repaired(pods, pod)

    assert (await pods.read(Server, pod.server_id)).name == other
    effects = Counter(effect for effect, _ in await pods.effects("proxmox"))
    assert effects["guest.created"] == 1


@pytest.mark.parametrize("tags", ["", "mpanel"])
async def test_somebody_elses_guest_on_its_vmid_is_not_touched(
    pods: World, tags: str
) -> None:
    pod = await a_pod(pods, MINI)
    guest = pods.providers.proxmox.cluster.guest(pod.vmid)
    guest.config |= {"description": "the mail server", "tags": tags}
    await adrift(pods, pod, Drift.FOREIGN)
    before = await pods.effects("proxmox")

    job = await pods.parked(await repair(pods, pod))

    assert job.reason == Reason.CONFLICT
    assert "taken by" in str(job.message)
    assert await pods.effects("proxmox") == before
