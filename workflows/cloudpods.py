"""A paid item becomes a CloudPod that answers."""

from dataclasses import replace

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.cloudpod_names import CloudPodNames
    from activities.cloudpods import CloudPodActivities

from workflows.engine.job import JobWorkflow, job_workflow
from workflows.engine.patience import LONG
from workflows.engine.steps import Step
from workflows.queues import POWERDNS, PROXMOX, STORIES, node_queue

PLACE_CLOUDPOD = Step(
    "place_cloudpod",
    "Reserve a VMID, addresses and room on a node",
    CloudPodActivities.place_cloudpod,
    STORIES,
    undo=CloudPodActivities.release_cloudpod,
    undo_summary="Give VMID, addresses and room back",
)
CREATE_GUEST = Step(
    "create_guest",
    "Make the guest from its template",
    CloudPodActivities.create_guest,
    PROXMOX,
    undo=CloudPodActivities.destroy_guest,
    undo_summary="Destroy the guest",
    time=LONG,
)
# In the life of a CloudPod: an abort takes back no guest that its order has made.
CREATE_AGAIN = replace(CREATE_GUEST, undo=None)
CREATE_POD_NAMES = Step(
    "create_pod_names",
    "Lead its name to its address, and back",
    CloudPodNames.create_pod_names,
    POWERDNS,
    undo=CloudPodNames.delete_pod_names,
    undo_summary="Take its names away",
)
CONFIGURE_GUEST = Step(
    "configure_guest",
    "Set CPU, memory, network and first login",
    CloudPodActivities.configure_guest,
    PROXMOX,
)
GROW_DISK = Step(
    "grow_disk",
    "Grow the disk to its size",
    CloudPodActivities.grow_disk,
    PROXMOX,
    time=LONG,
)
GUARD_GUEST = Step(
    "guard_guest", "Raise the firewall", CloudPodActivities.guard_guest, PROXMOX
)
START_GUEST = Step(
    "start_guest", "Start it", CloudPodActivities.start_guest, PROXMOX, time=LONG
)
CALL_ACTIVE = Step(
    "call_active",
    "Ask the guest itself, then call it active",
    CloudPodActivities.call_active,
    PROXMOX,
)


def on(node: str, step: Step) -> Step:
    """The step, in the queue of its node: so many at once, whichever job wants it."""
    return replace(step, queue=node_queue(node))


@job_workflow(name="ProvisionCloudPod")
class ProvisionCloudPod(JobWorkflow):
    """Turns a paid item into a running guest, or leaves nothing behind."""

    STEPS = (
        PLACE_CLOUDPOD,
        CREATE_GUEST,
        CREATE_POD_NAMES,
        CONFIGURE_GUEST,
        GROW_DISK,
        GUARD_GUEST,
        START_GUEST,
        CALL_ACTIVE,
    )

    async def story(self) -> None:
        node: str = await self.step(PLACE_CLOUDPOD)
        async with self.group() as group:
            group.start(self._guest(node))
            group.start(self.step(CREATE_POD_NAMES))
        await self.step(on(node, CALL_ACTIVE))

    async def _guest(self, node: str) -> None:
        for step in (CREATE_GUEST, CONFIGURE_GUEST, GROW_DISK, GUARD_GUEST):
            await self.step(on(node, step))
        await self.step(on(node, START_GUEST))
