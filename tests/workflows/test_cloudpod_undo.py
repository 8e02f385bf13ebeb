"""An act on a CloudPod is given up: what its order delivered stays whole."""

from uuid import uuid4

from api.services import acts
from api.services import cloudpods as service
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
    ServiceStatus,
)
from tests.workflows.operator import OPERATOR, abort_item
from tests.workflows.pods import MINI, SILENT, a_pod
from tests.world import World


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
