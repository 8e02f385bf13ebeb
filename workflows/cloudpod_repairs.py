"""A CloudPod whose guest is not as wanted is repaired, as an act of its life."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.cloudpod_repairs import REBUILD, RESTORE, CloudPodRepairs

from workflows.cloudpods import CONFIGURE_GUEST, CREATE_AGAIN, GROW_DISK, GUARD_GUEST
from workflows.engine.job import JobWorkflow, job_workflow
from workflows.engine.patience import LONG
from workflows.engine.steps import Step
from workflows.queues import PROXMOX

ASSESS_GUEST = Step(
    "assess_guest",
    "See what is left of it",
    CloudPodRepairs.assess_guest,
    PROXMOX,
)
BRING_BACK = Step(
    "bring_back",
    "Restore its newest backup",
    CloudPodRepairs.bring_back,
    PROXMOX,
    time=LONG,
)
SETTLE_GUEST = Step(
    "settle_guest",
    "Have it run or stand still, as its CloudPod says",
    CloudPodRepairs.settle_guest,
    PROXMOX,
    time=LONG,
)


@job_workflow(name="RepairCloudPod")
class RepairCloudPod(JobWorkflow):
    """Starts or stops the guest; one that is gone is restored, or else built anew."""

    STEPS = (
        ASSESS_GUEST,
        BRING_BACK,
        CREATE_AGAIN,
        CONFIGURE_GUEST,
        GROW_DISK,
        GUARD_GUEST,
        SETTLE_GUEST,
    )

    async def story(self) -> None:
        way: str = await self.step(ASSESS_GUEST)
        if way == RESTORE:
            await self.step(BRING_BACK)
        if way == REBUILD:
            for step in (CREATE_AGAIN, CONFIGURE_GUEST, GROW_DISK, GUARD_GUEST):
                await self.step(step)
        await self.step(SETTLE_GUEST)
