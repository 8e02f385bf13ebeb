"""The paths of what keeps nodes and guests in order; see `tests.workflows.paths`."""

from api.services import cloudpod_consoles, cloudpods, servers
from models.cloudpods import CloudPod
from models.jobs import Job
from models.states import Drift, JobKind, JobStatus
from models.vault import Vault
from tests.workflows.operator import OPERATOR
from tests.workflows.paths import finished, rows
from tests.workflows.pods import MINI, a_pod
from tests.world import VAULT_KEY, World

MIGRATE = "POST /nodes/{node}/qemu/{vmid}/migrate"
REFUSED = {
    "kind": "fail",
    "op": MIGRATE,
    "status": 500,
    "message": "migrating this disk is not supported",
    "times": 9,
}


async def drained(pods: World) -> str:
    """The node of a running virtual machine."""
    pod = await a_pod(pods, MINI)
    async with pods.db.platform() as session:
        _, job = await servers.drain(session, pods.client, OPERATOR, pod.server_id)
    return await finished(pods, job, JobStatus.SUCCEEDED)


async def moved(pods: World) -> str:
    await drained(pods)
    (move,) = await rows(pods, Job, kind=JobKind.CLOUDPOD_MOVE)
    return await finished(pods, move, JobStatus.SUCCEEDED)


async def carried(pods: World) -> str:
    await pods.fault("proxmox", REFUSED)
    return await moved(pods)


async def restarted(pods: World) -> str:
    """One that was stopped."""
    pod = await a_pod(pods, MINI)
    pods.providers.proxmox.cluster.guest(pod.vmid).status = "stopped"
    return await repaired(pods, pod, Drift.STOPPED)


async def rebuilt(pods: World) -> str:
    """One that is gone."""
    pod = await a_pod(pods, MINI)
    cluster = pods.providers.proxmox.cluster
    cluster.vms.remove(cluster.guest(pod.vmid))
    return await repaired(pods, pod, Drift.GONE)


async def repaired(pods: World, pod: CloudPod, drift: Drift) -> str:
    async with pods.db.platform() as session:
        (await session.get_one(CloudPod, pod.id)).drift = drift
        await session.commit()
        _, job = await cloudpods.repair(session, pods.client, OPERATOR, pod.id)
    return await finished(pods, job, JobStatus.SUCCEEDED)


async def looked_at(pods: World) -> str:
    pod, vault = await a_pod(pods, MINI), Vault.parse(VAULT_KEY)
    async with pods.db.platform() as session:
        await cloudpod_consoles.open_one(session, pods.client, vault, OPERATOR, pod.id)

    async def runs() -> list[str]:
        found = pods.client.list_workflows("WorkflowType = 'ConsoleTicket'")
        return [one.id async for one in found]

    return (await pods.until(runs, bool))[0]


NODE_PATHS = {
    "DrainNode.done": drained,
    "MoveCloudPod.moved": moved,
    "MoveCloudPod.carried": carried,
    "RepairCloudPod.restarted": restarted,
    "RepairCloudPod.rebuilt": rebuilt,
    "ConsoleTicket.done": looked_at,
}
