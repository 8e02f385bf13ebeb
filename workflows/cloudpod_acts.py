"""What a CloudPod is asked for during its life. Each act is a job of its own, and
`CloudPodLife` keeps their order."""

from dataclasses import replace

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.cloudpod_acts import CloudPodActs
    from activities.cloudpod_names import CloudPodNames
    from activities.cloudpods import CloudPodActivities

from workflows.cloudpods import (
    CONFIGURE_GUEST,
    CREATE_AGAIN,
    GROW_DISK,
    GUARD_GUEST,
    START_GUEST,
)
from workflows.engine.job import JobWorkflow, job_workflow
from workflows.engine.patience import LONG
from workflows.engine.steps import Step
from workflows.queues import POWERDNS, PROXMOX, STORIES

SUSPEND_GUEST = Step(
    "suspend_guest", "Stop it", CloudPodActs.suspend_guest, PROXMOX, time=LONG
)
RESUME_GUEST = Step(
    "resume_guest",
    "Start it and see it answer",
    CloudPodActs.resume_guest,
    PROXMOX,
    time=LONG,
)
RESTART_GUEST = Step(
    "restart_guest", "Restart it", CloudPodActs.restart_guest, PROXMOX, time=LONG
)
SEE_BACK = Step("see_back", "See it answer", CloudPodActs.see_back, PROXMOX)
RESERVE_SIZE = Step(
    "reserve_size",
    "Promise the new size",
    CloudPodActs.reserve_size,
    STORIES,
    undo=CloudPodActs.release_size,
    undo_summary="Give CPU and memory back",
)
APPLY_SIZE = Step(
    "apply_size",
    "Have it take its new size",
    CloudPodActs.apply_size,
    PROXMOX,
    time=LONG,
)
RENAME_GUEST = Step("rename_guest", "Rename it", CloudPodActs.rename_guest, PROXMOX)
TAKE_SNAPSHOT = Step(
    "take_snapshot",
    "Take a snapshot",
    CloudPodActs.take_snapshot,
    PROXMOX,
    undo=CloudPodActs.drop_snapshot,
    undo_summary="Drop the snapshot",
    time=LONG,
)
ROLL_BACK = Step(
    "roll_back", "Go back to the snapshot", CloudPodActs.roll_back, PROXMOX, time=LONG
)
BACK_UP_GUEST = Step(
    "back_up_guest", "Back it up", CloudPodActs.back_up_guest, PROXMOX, time=LONG
)
RESTORE_GUEST = Step(
    "restore_guest",
    "Bring the backup back",
    CloudPodActs.restore_guest,
    PROXMOX,
    time=LONG,
)
REMOVE_GUEST = Step(
    "remove_guest",
    "Destroy the old guest",
    CloudPodActivities.destroy_guest,
    PROXMOX,
    time=LONG,
)
BEGIN_POD_REMOVAL = Step(
    "begin_pod_removal",
    "Take the CloudPod out of service",
    CloudPodActivities.begin_pod_removal,
    PROXMOX,
    undo=CloudPodActs.call_off_removal,
    undo_summary="Bring it back into service",
)
HOLD_REMOVAL = Step(
    "hold_removal",
    "Stop it, and wait while its removal can be called off",
    CloudPodActs.hold_removal,
    PROXMOX,
    time=LONG,
    if_skipped="It is destroyed at once: its removal can be called off no more.",
)
DELETE_POD_NAMES = Step(
    "delete_pod_names",
    "Take its names away",
    CloudPodNames.delete_pod_names,
    POWERDNS,
    undo=CloudPodNames.create_pod_names,
    undo_summary="Lead its names to it again",
    if_skipped="Only right if the zone or the name server is gone for good, or the"
    " records were taken away by hand. Its address goes to somebody else, and these"
    " names would lead there.",
    leaves=frozenset({"record"}),
)
DESTROY_GUEST = Step(
    "destroy_guest",
    "Destroy the guest and see it gone",
    CloudPodActivities.destroy_guest,
    PROXMOX,
    time=LONG,
)
END_POD_REMOVAL = Step(
    "end_pod_removal",
    "Write down that nothing is left",
    CloudPodActivities.end_pod_removal,
    STORIES,
)
# Left out of a removal alone: a move, and whoever asked for a backup, need theirs.
LAST_BACKUP = replace(
    BACK_UP_GUEST,
    if_skipped="It is removed without a last backup: its data are lost for good.",
)


@job_workflow(name="SuspendCloudPod")
class SuspendCloudPod(JobWorkflow):
    """Stops the guest; its data stay."""

    STEPS = (SUSPEND_GUEST,)


@job_workflow(name="ResumeCloudPod")
class ResumeCloudPod(JobWorkflow):
    """Brings a suspended guest back."""

    STEPS = (RESUME_GUEST,)


@job_workflow(name="RestartCloudPod")
class RestartCloudPod(JobWorkflow):
    """Ends the guest's system in good order, and starts it."""

    STEPS = (RESTART_GUEST, SEE_BACK)


@job_workflow(name="ResizeCloudPod")
class ResizeCloudPod(JobWorkflow):
    """Another size: CPU and memory up and down, the disk up."""

    STEPS = (RESERVE_SIZE, CONFIGURE_GUEST, GROW_DISK, APPLY_SIZE, SEE_BACK)


@job_workflow(name="RenameCloudPod")
class RenameCloudPod(JobWorkflow):
    """Another name."""

    STEPS = (RENAME_GUEST,)


@job_workflow(name="SnapshotCloudPod")
class SnapshotCloudPod(JobWorkflow):
    """Keeps how it is now, beside its disks."""

    STEPS = (TAKE_SNAPSHOT,)


@job_workflow(name="RollBackCloudPod")
class RollBackCloudPod(JobWorkflow):
    """Back to a snapshot."""

    STEPS = (ROLL_BACK, SEE_BACK)


@job_workflow(name="BackUpCloudPod")
class BackUpCloudPod(JobWorkflow):
    """Keeps how it is now, away from its node."""

    STEPS = (BACK_UP_GUEST,)


@job_workflow(name="RestoreCloudPod")
class RestoreCloudPod(JobWorkflow):
    """Back to a backup."""

    STEPS = (RESTORE_GUEST, SEE_BACK)


@job_workflow(name="RebuildCloudPod")
class RebuildCloudPod(JobWorkflow):
    """A new guest from the template, with the old one's name, VMID and address."""

    STEPS = (
        REMOVE_GUEST,
        CREATE_AGAIN,
        CONFIGURE_GUEST,
        GROW_DISK,
        GUARD_GUEST,
        START_GUEST,
        SEE_BACK,
    )


@job_workflow(name="DeleteCloudPod")
class DeleteCloudPod(JobWorkflow):
    """Backs it up, holds it a while, then takes it away until its node and the cluster
    know nothing of it."""

    STEPS = (
        BEGIN_POD_REMOVAL,
        LAST_BACKUP,
        HOLD_REMOVAL,
        DELETE_POD_NAMES,
        DESTROY_GUEST,
        END_POD_REMOVAL,
    )

    async def story(self) -> None:
        if await self.step(BEGIN_POD_REMOVAL):
            await self.step(BACK_UP_GUEST)
            await self.step(HOLD_REMOVAL)
        async with self.group() as group:
            group.start(self.step(DELETE_POD_NAMES))
            group.start(self.step(DESTROY_GUEST))
        await self.step(END_POD_REMOVAL)
