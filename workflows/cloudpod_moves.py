"""A CloudPod goes to another node, as an act of its life."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.cloudpod_moves import MOVED, REFUSED, CloudPodMoves

from workflows.cloudpod_acts import BACK_UP_GUEST
from workflows.cloudpods import on
from workflows.engine.job import JobWorkflow, job_workflow
from workflows.engine.patience import LONG
from workflows.engine.steps import Step
from workflows.queues import PROXMOX

RESERVE_ROOM = Step(
    "reserve_room",
    "Have another node promise it room",
    CloudPodMoves.reserve_room,
    PROXMOX,
    undo=CloudPodMoves.release_room,
    undo_summary="Leave it where it is",
)
MOVE_GUEST = Step(
    "move_guest", "Move it as it is", CloudPodMoves.move_guest, PROXMOX, time=LONG
)
STILL_GUEST = Step(
    "still_guest", "Have it stand still", CloudPodMoves.still_guest, PROXMOX, time=LONG
)
CARRY_GUEST = Step(
    "carry_guest",
    "Restore its backup on the other node",
    CloudPodMoves.carry_guest,
    PROXMOX,
    time=LONG,
)
SEE_MOVED = Step(
    "see_moved", "See it there, and answering", CloudPodMoves.see_moved, PROXMOX
)


@job_workflow(name="MoveCloudPod")
class MoveCloudPod(JobWorkflow):
    """Moves the guest; where Proxmox refuses, its backup is restored over there."""

    STEPS = (
        RESERVE_ROOM,
        MOVE_GUEST,
        STILL_GUEST,
        BACK_UP_GUEST,
        CARRY_GUEST,
        SEE_MOVED,
    )

    async def story(self) -> None:
        node: str = await self.step(RESERVE_ROOM)
        how: str = await self.step(on(node, MOVE_GUEST))
        if how == REFUSED:
            await self.step(on(node, STILL_GUEST))
            await self.step(on(node, BACK_UP_GUEST))
        if how != MOVED:
            await self.step(on(node, CARRY_GUEST))
        await self.step(SEE_MOVED)
