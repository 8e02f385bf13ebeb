"""An act on a CloudPod is given up: what its order delivered stays whole."""

from datetime import timedelta
from functools import partial
from uuid import uuid4

from sqlmodel import select

from api.services import acts
from api.services import cloudpods as service
from models.base import utc_now
from models.cloudpods import CloudPod
from models.effects import Effect
from models.jobs import Job
from models.states import (
    Act,
    Drift,
    EffectState,
    JobKind,
    JobStatus,
    Reason,
    SaveKind,
    ServiceStatus,
)
from tests.workflows.operator import OPERATOR, abort_item
from tests.workflows.pods import MINI, SILENT, a_pod, ask, hold
from tests.world import World

BACKUP = partial(service.save, kind=SaveKind.BACKUP)


async def done(world: World, job: Job) -> None:
    job = await world.ended(job)
    assert job.status == JobStatus.SUCCEEDED, job


async def rebuilt_after_its_abort(world: World, pod: CloudPod) -> Effect:
    """A rebuild was given up before its new guest was there; it came all the same. The
    ledger is not sure of it."""
    lost = {"kind": "execute_then_timeout", "op": "POST /nodes/{node}/lxc"}
    await world.fault(
        "proxmox", {**lost, "seconds": 0.05, "times": 1}, hold("task vzcreate")
    )
    job = await world.parked(await ask(world, service.rebuild, pod))
    assert job.step == "create_guest"
    await abort_item(world, job)
    assert (await world.ended(job)).status == JobStatus.FAILED
    await world.fault("proxmox")

    async def whole() -> bool:
        guest = world.providers.proxmox.cluster.guest(pod.vmid)
        return guest is not None and not guest.lock

    await world.until(whole, bool)
    async with world.db.platform() as session:
        found = await session.exec(
            select(Effect).where(Effect.reference == str(pod.id))
        )
        return found.one()


async def look_now(world: World, effect: Effect) -> None:
    """As in a minute."""
    async with world.db.platform() as session:
        row = await session.get_one(Effect, effect.id)
        row.check_at = utc_now() - timedelta(seconds=1)
        await session.commit()
    await world.wired.rechecks.round()


async def test_a_rebuild_given_up_leaves_the_new_guest(pods: World) -> None:
    pod = await a_pod(pods, MINI)
    await pods.fault("proxmox", SILENT)
    async with pods.db.platform() as session:
        _, job = await service.rebuild(session, pods.client, OPERATOR, pod.id)
    job = await pods.parked(job)
    assert job.step == "see_back"

    await abort_item(pods, job)

    assert (await pods.ended(job)).status == JobStatus.FAILED
    assert pods.providers.proxmox.cluster.guest(pod.vmid).status == "running"
    assert (await pods.read(CloudPod, pod.id)).status == ServiceStatus.ACTIVE


async def test_what_a_given_up_rebuild_has_made_is_no_orphan_once_it_is_used(
    pods: World,
) -> None:
    pod = await a_pod(pods)
    backup = await ask(pods, BACKUP, pod)
    await done(pods, backup)
    effect = await rebuilt_after_its_abort(pods, pod)
    async with pods.db.platform() as session:
        (save,) = await service.cloudpods.saves(session, pod.id, SaveKind.BACKUP)
    await done(pods, await ask(pods, service.go_back, pod, save.id, SaveKind.BACKUP))

    await look_now(pods, effect)

    guest = pods.providers.proxmox.cluster.guest(pod.vmid)
    assert guest is not None
    assert guest.status == "running"


async def test_what_a_given_up_rebuild_has_made_is_backed_up_before_its_removal(
    pods: World,
) -> None:
    pod = await a_pod(pods)
    await rebuilt_after_its_abort(pods, pod)
    await done(pods, await ask(pods, service.restart, pod))

    await done(pods, await ask(pods, service.delete, pod))

    made = [effect for effect, _ in await pods.effects("proxmox")]
    assert "backup.made" in made


async def test_a_resize_given_up_after_it_has_ended_its_guest_starts_it_again(
    pods: World,
) -> None:
    pod = await a_pod(pods, MINI)
    op = "POST /nodes/{node}/qemu/{vmid}/status/start"
    full = {"kind": "fail", "op": op, "status": 403, "times": 1000}
    await pods.fault("proxmox", full)
    job = await pods.parked(await ask(pods, partial(service.resize, memory=8192), pod))
    guest = pods.providers.proxmox.cluster.guest(pod.vmid)
    assert (job.step, guest.status) == ("apply_size", "stopped")
    await pods.fault("proxmox")

    await abort_item(pods, job)

    assert (await pods.ended(job)).status == JobStatus.FAILED
    assert (guest.status, int(guest.config["memory"])) == ("running", pod.memory)


async def test_a_later_run_of_a_repair_given_up_leaves_the_guest(pods: World) -> None:
    pod = await a_pod(pods, MINI)
    guest = pods.providers.proxmox.cluster.guest(pod.vmid)
    guest.status = "stopped"
    async with pods.db.platform() as session:
        (await session.get_one(CloudPod, pod.id)).drift = Drift.STOPPED
        await session.commit()
        await pods.fault("proxmox", SILENT)
        _, job = await service.repair(session, pods.client, OPERATOR, pod.id)
    job = await pods.parked(job)
    await pods.client.get_workflow_handle(job.workflow_id).terminate("by hand")
    job = await pods.until(
        lambda: pods.read(Job, job.id),
        lambda one: one.reason == Reason.RUN_ENDED_OUTSIDE,
    )

    await abort_item(pods, job)

    job = await pods.ended(job)
    assert (job.status, job.generation) == (JobStatus.FAILED, 2)
    assert pods.providers.proxmox.cluster.guest(pod.vmid) is guest


def test_an_orders_abort_tells_of_the_guest_that_an_act_has_made_anew() -> None:
    pod_id = uuid4()
    order = Job(tenant_id=uuid4(), kind=JobKind.CLOUDPOD_PROVISION, subject_id=pod_id)
    guest = Effect(
        tenant_id=order.tenant_id,
        job_id=uuid4(),
        owner_id=pod_id,
        provider="proxmox",
        kind="guest",
        reference=str(pod_id),
        remote_id="10000",
        state=EffectState.PRESENT,
    )
    order.status = JobStatus.RUNNING

    told = acts.options(acts.Scene(order, effects=[guest]))

    [abort] = [one for one in told if one.act is Act.ABORT_ITEM]
    assert abort.would[0].startswith("Taken back is the guest 10000")
