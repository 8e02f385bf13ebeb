"""The paths of a CloudPod's runs; see `tests.workflows.paths`."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from api.services import cloudpods as service
from models.cloudpods import CloudPod
from models.jobs import Job
from models.states import JobKind, JobStatus, SaveKind, SuspensionReason
from tests.workflows.node_paths import NODE_PATHS
from tests.workflows.operator import OPERATOR, abort_item
from tests.workflows.paths import finished
from tests.workflows.pods import MINI, a_pod
from tests.workflows.shop import buy
from tests.world import World
from workflows.names import life_id

Path = Callable[[World], Awaitable[str]]
REQUESTED = SuspensionReason.TENANT_REQUEST


async def asked(pods: World, what: Any, pod: CloudPod, *given: Any, **more: Any) -> str:
    """The run of what was asked, when it has ended well."""
    async with pods.db.platform() as session:
        answer = await what(session, pods.client, OPERATOR, pod.id, *given, **more)
    job: Job = answer[1]
    return await finished(pods, job, JobStatus.SUCCEEDED)


async def delivered(pods: World) -> str:
    order = await buy(pods, MINI, price=999)
    root = await pods.job_of(order)
    await finished(pods, root, JobStatus.SUCCEEDED)
    line = (await pods.jobs(order))[JobKind.CLOUDPOD_PROVISION]
    return await finished(pods, line, JobStatus.SUCCEEDED)


async def aborted(pods: World) -> str:
    silent = {
        "kind": "fail",
        "op": "GET /nodes/{node}/qemu/{vmid}/agent/*",
        "times": 1000,
        "message": "QEMU guest agent is not running",
    }
    await pods.fault("proxmox", silent)
    order = await buy(pods, MINI, price=999)
    line = (await pods.jobs(order))[JobKind.CLOUDPOD_PROVISION]
    await abort_item(pods, await pods.parked(line))
    return await finished(pods, line, JobStatus.FAILED)


async def life(pods: World) -> str:
    pod = await a_pod(pods)
    await asked(pods, service.suspend, pod, reason=REQUESTED)
    await asked(pods, service.resume, pod)

    async def waiting() -> list[str]:
        handle = pods.client.get_workflow_handle(life_id(pod.id))
        return list(await handle.query("acts"))

    await pods.until(waiting, lambda acts: acts == [])
    return life_id(pod.id)


async def ended(pods: World) -> str:
    """With its CloudPod."""
    pod = await a_pod(pods)
    await asked(pods, service.delete, pod)
    await pods.client.get_workflow_handle(life_id(pod.id)).result()
    return life_id(pod.id)


async def suspended(pods: World) -> str:
    return await asked(pods, service.suspend, await a_pod(pods), reason=REQUESTED)


async def resumed(pods: World) -> str:
    pod = await a_pod(pods)
    await asked(pods, service.suspend, pod, reason=REQUESTED)
    return await asked(pods, service.resume, pod)


async def restarted(pods: World) -> str:
    return await asked(pods, service.restart, await a_pod(pods))


async def resized(pods: World) -> str:
    pod = await a_pod(pods, MINI)
    return await asked(pods, service.resize, pod, memory=4096, disk=pod.disk + 5)


async def renamed(pods: World) -> str:
    return await asked(pods, service.rename, await a_pod(pods), name="other")


async def snapped(pods: World) -> str:
    return await asked(pods, service.save, await a_pod(pods), SaveKind.SNAPSHOT)


async def backed_up(pods: World) -> str:
    return await asked(pods, service.save, await a_pod(pods), SaveKind.BACKUP)


def gone_back_to(kind: SaveKind) -> Path:
    """To a state of this kind."""

    async def gone_back(pods: World) -> str:
        pod = await a_pod(pods)
        await asked(pods, service.save, pod, kind)
        async with pods.db.platform() as session:
            (save,) = await service.cloudpods.saves(session, pod.id, kind)
        return await asked(pods, service.go_back, pod, save.id, kind)

    return gone_back


async def rebuilt(pods: World) -> str:
    return await asked(pods, service.rebuild, await a_pod(pods))


async def deleted(pods: World) -> str:
    return await asked(pods, service.delete, await a_pod(pods))


POD_PATHS: Mapping[str, Path] = {
    "ProvisionCloudPod.delivered": delivered,
    "ProvisionCloudPod.aborted": aborted,
    "CloudPodLife.two_acts": life,
    "CloudPodLife.ended": ended,
    "SuspendCloudPod.done": suspended,
    "ResumeCloudPod.done": resumed,
    "RestartCloudPod.done": restarted,
    "ResizeCloudPod.done": resized,
    "RenameCloudPod.done": renamed,
    "SnapshotCloudPod.done": snapped,
    "BackUpCloudPod.done": backed_up,
    "RollBackCloudPod.done": gone_back_to(SaveKind.SNAPSHOT),
    "RestoreCloudPod.done": gone_back_to(SaveKind.BACKUP),
    "RebuildCloudPod.done": rebuilt,
    "DeleteCloudPod.done": deleted,
    **NODE_PATHS,
}
