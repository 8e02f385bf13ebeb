"""The long life of a CloudPod: what it is asked for, one after the other, in order.

Each act is a job with a run of its own; this one only keeps their order. It waits for
nothing while nobody asks, so an idle CloudPod adds no event to its history, and it
continues as new after some acts, with what still waits. It ends with its CloudPod; what
is asked later begins another.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Final

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import (
    ApplicationError,
    ChildWorkflowError,
    WorkflowAlreadyStartedError,
)

with workflow.unsafe.imports_passed_through():
    from activities.calls import JobRef, Life
    from activities.jobs import JobActivities
    from models.states import JobKind

from workflows.engine.children import run_child
from workflows.engine.start import workflow_id
from workflows.names import LIFE

REFUSED: Final = "ActRefused"
# Enough to know a delivery that comes twice across a new history.
REMEMBERED: Final = 50

_LOOK: Final = RetryPolicy(
    initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30)
)


@workflow.defn(name=LIFE)
class CloudPodLife:
    """Takes acts as updates; the first of those that wait is the one under way."""

    @workflow.init
    def __init__(self, life: Life) -> None:
        self._life = life
        self._waiting = list(life.waiting)
        self._known = list(life.known)
        self._done = 0
        self._over = False

    @workflow.run
    async def run(self, life: Life) -> None:
        while True:
            await workflow.wait_condition(lambda: bool(self._waiting))
            await self._do(self._waiting[0])
            self._waiting.pop(0)
            self._done += 1
            gone = self._over and not self._waiting
            if gone and workflow.patched("ends-with-its-cloudpod"):
                workflow.set_current_details("its CloudPod is no more")
                return
            workflow.set_current_details(f"{self._done} acts done; nothing under way")
            if self._done >= life.acts or (
                workflow.info().is_continue_as_new_suggested()
            ):
                await workflow.wait_condition(workflow.all_handlers_finished)
                workflow.continue_as_new(
                    replace(
                        life,
                        waiting=tuple(self._waiting),
                        known=tuple(self._known[-REMEMBERED:]),
                    )
                )

    @workflow.update(description="Hands over an act; its job was written before.")
    def take(self, ref: JobRef) -> int:
        """How many acts are before it. One that was taken already stays where it is."""
        if workflow_id(ref) not in self._known:
            self._known.append(workflow_id(ref))
            self._waiting.append(ref)
        return max(0, len(self._waiting) - 1)

    @take.validator
    def _may_take(self, ref: JobRef) -> None:
        if ref.subject_id != self._life.cloudpod_id:
            raise ApplicationError("this is another CloudPod's", type=REFUSED)
        if workflow_id(ref) in self._known:
            return
        same = [one for one in self._waiting if one.kind is ref.kind]
        if same and same[0].job_id != ref.job_id:
            state = "is under way" if same[0] is self._waiting[0] else "waits"
            raise ApplicationError(f"a {ref.kind} {state} already", type=REFUSED)

    @workflow.query(description="The acts that wait; the first is under way.")
    def acts(self) -> list[str]:
        """Ids of their runs."""
        return [workflow_id(ref) for ref in self._waiting]

    async def _do(self, ref: JobRef) -> None:
        """Until it has ended, well or not: its row says how."""
        workflow.set_current_details(f"**{ref.kind}** is under way: {workflow_id(ref)}")
        well = True
        try:
            await run_child(ref, f"{ref.kind} {str(ref.subject_id)[:8]}")
        except WorkflowAlreadyStartedError:
            await workflow.execute_activity_method(
                JobActivities.see_ended,
                ref,
                start_to_close_timeout=timedelta(seconds=10),
                retry_policy=_LOOK,
            )
        except ChildWorkflowError:
            well = False
        if ref.kind in (JobKind.CLOUDPOD_PROVISION, JobKind.CLOUDPOD_DELETE):
            self._over = well is (ref.kind is JobKind.CLOUDPOD_DELETE)
