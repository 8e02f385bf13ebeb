"""A guest is not where it was made: it is gone, HA has moved it, or somebody else's has
its VMID. What follows it finds it, and what is not ours is left alone."""

from functools import partial
from typing import Any

import pytest
from sqlmodel import select
from temporalio.testing import WorkflowEnvironment

from api.services import cloudpod_consoles
from api.services import cloudpods as service
from models.cloudpods import CloudPod, CloudPodSave
from models.database import Database
from models.effects import Effect
from models.errors import Unavailable
from models.jobs import Job
from models.servers import Server
from models.states import (
    BackupStatus,
    EffectState,
    JobStatus,
    Reason,
    SaveKind,
    ServiceStatus,
)
from models.vault import Vault
from tests.workflows.operator import OPERATOR, abort_item, retry
from tests.workflows.pods import MINI, NANO, a_move, a_pod, ask, guests, pod_world
from tests.world import VAULT_KEY, Providers, World

BIGGER = partial(service.resize, memory=4096)
SNAPSHOT = partial(service.save, kind=SaveKind.SNAPSHOT)
NOTES = "the mail server"


async def given_up(world: World, job: Job) -> None:
    await abort_item(world, job)
    job = await world.ended(job)
    assert job.status == JobStatus.FAILED, job


async def state(world: World, pod: CloudPod) -> EffectState:
    """Of its guest, in our ledger."""
    async with world.db.platform() as session:
        found = await session.exec(
            select(Effect.state).where(Effect.reference == str(pod.id))
        )
        return EffectState(found.one())


def guest_of(world: World, pod: CloudPod) -> Any:
    return world.providers.proxmox.cluster.guest(pod.vmid)


def lose(world: World, pod: CloudPod) -> None:
    """Somebody has destroyed its guest behind our back."""
    cluster = world.providers.proxmox.cluster
    kept = cluster.vms if pod.kind == "qemu" else cluster.cts
    kept.remove(guest_of(world, pod))


@pytest.mark.parametrize("item", [MINI, NANO])
async def test_one_that_is_gone_can_be_removed(
    pods: World, item: tuple[str, str]
) -> None:
    pod = await a_pod(pods, item)
    lose(pods, pod)

    job = await pods.ended(await ask(pods, service.delete, pod))

    assert job.status == JobStatus.SUCCEEDED
    assert (await pods.read(CloudPod, pod.id)).status == ServiceStatus.TERMINATED


async def test_one_that_ha_has_moved_is_removed_though_its_first_node_is_off(
    pods: World,
) -> None:
    pod = await a_pod(pods, MINI)
    guest_of(pods, pod).node = "pve2"
    await pods.control("proxmox", "PUT", "nodes", json={"pve1": False})

    job = await pods.ended(await ask(pods, service.delete, pod))

    assert job.status == JobStatus.SUCCEEDED, job
    assert await guests(pods) == {}


async def test_one_that_ha_has_moved_is_resized_where_it_is(pods: World) -> None:
    pod = await a_pod(pods, MINI)
    guest_of(pods, pod).node = "pve2"

    job = await pods.ended(await ask(pods, BIGGER, pod))

    assert job.status == JobStatus.SUCCEEDED, job
    assert int(guest_of(pods, pod).config["memory"]) == 4096


async def test_a_removal_whose_guest_is_gone_before_its_row_says_so_is_called_off(
    simulators: Providers, db: Database, temporal: WorkflowEnvironment
) -> None:
    async with pod_world(simulators, db, temporal, cloudpod_hold_seconds=600.0) as pods:
        pod = await a_pod(pods, MINI)
        job = await ask(pods, service.delete, pod)
        await pods.until(
            lambda: pods.read(CloudPod, pod.id), lambda one: one.held_until is not None
        )
        lose(pods, pod)

        await given_up(pods, job)

        assert (await pods.read(CloudPod, pod.id)).status == ServiceStatus.FAILED
        assert await state(pods, pod) == EffectState.REMOVED


async def test_a_resize_of_one_that_is_gone_parks_and_can_be_given_up(
    pods: World,
) -> None:
    pod = await a_pod(pods, MINI)
    lose(pods, pod)

    job = await pods.parked(await ask(pods, BIGGER, pod))

    assert (job.step, job.reason) == ("configure_guest", Reason.REJECTED)
    await given_up(pods, job)
    assert (await pods.read(CloudPod, pod.id)).memory == pod.memory


async def test_a_snapshot_of_one_that_is_gone_can_be_given_up(pods: World) -> None:
    pod = await a_pod(pods, MINI)
    lose(pods, pod)

    await given_up(pods, await pods.parked(await ask(pods, SNAPSHOT, pod)))

    async with pods.db.platform() as session:
        [save] = (await session.exec(select(CloudPodSave))).all()
    assert save.status == BackupStatus.FAILED


async def test_notes_below_the_mark_do_not_hide_it(pods: World) -> None:
    pod = await a_pod(pods, MINI)
    guest_of(pods, pod).config["description"] += "\nAda's shop; ask before a restart"

    job = await pods.ended(await ask(pods, service.delete, pod))

    assert job.status == JobStatus.SUCCEEDED, job
    assert await guests(pods) == {}


async def test_one_whose_mark_was_overwritten_is_not_believed_gone(
    pods: World,
) -> None:
    pod = await a_pod(pods, MINI)
    guest_of(pods, pod).config["description"] = NOTES

    job = await pods.parked(await ask(pods, service.delete, pod))

    assert job.reason == Reason.CONFLICT
    assert pod.reference in str(job.message)
    assert (await pods.read(CloudPod, pod.id)).ipv4 == pod.ipv4
    guest_of(pods, pod).config["description"] = pod.reference
    await retry(pods, job)
    assert (await pods.ended(job)).status == JobStatus.SUCCEEDED
    assert await guests(pods) == {}


async def test_a_resize_leaves_somebody_elses_guest_alone(pods: World) -> None:
    pod = await a_pod(pods, MINI)
    guest = guest_of(pods, pod)
    guest.config["description"] = NOTES
    before = dict(guest.config)

    job = await pods.parked(await ask(pods, BIGGER, pod))

    assert (job.step, job.reason) == ("configure_guest", Reason.CONFLICT)
    await given_up(pods, job)
    assert (guest.config, guest.status) == (before, "running")
    assert (await pods.read(CloudPod, pod.id)).memory == pod.memory


async def test_nobody_is_shown_somebody_elses_screen(pods: World) -> None:
    pod = await a_pod(pods, MINI)
    guest_of(pods, pod).config["description"] = NOTES
    vault = Vault.parse(VAULT_KEY)

    async with pods.db.platform() as session:
        with pytest.raises(Unavailable):
            await cloudpod_consoles.open_one(
                session, pods.client, vault, OPERATOR, pod.id
            )

    asked = [one["op"] for one in await pods.calls("proxmox")]
    assert [op for op in asked if op.endswith("/vncproxy")] == []


async def test_a_move_that_is_given_up_amid_its_migration_waits_for_its_end(
    pods: World,
) -> None:
    pod = await a_pod(pods, MINI)
    delays = {"delays": {"task qmigrate": 8}}
    await pods.control("proxmox", "PUT", "settings", json=delays)
    look = "GET /nodes/{node}/tasks/{upid}/status"
    away = {"kind": "fail", "op": look, "status": 595, "times": 1000}
    await pods.fault("proxmox", away)
    job = await pods.parked(await a_move(pods, pod))
    assert job.step == "move_guest"
    await pods.control("proxmox", "DELETE", "faults")

    await given_up(pods, job)

    now, guest = await pods.read(CloudPod, pod.id), guest_of(pods, pod)
    assert (guest.node, guest.status) == ("pve2", "running")
    assert (await pods.read(Server, now.server_id)).name == "pve2"
    assert now.moving_to is None
