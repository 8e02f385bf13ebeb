"""A job's run as the child of another run: abandoned by its parent, never killed."""

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.workflow import ChildWorkflowCancellationType, ParentClosePolicy

with workflow.unsafe.imports_passed_through():
    from activities.calls import JobRef

from workflows.engine import search
from workflows.engine.patience import TASK
from workflows.engine.start import workflow_id
from workflows.names import NAMES
from workflows.queues import STORIES


async def run_child(ref: JobRef, summary: str) -> None:
    """Until it has ended. Raises `WorkflowAlreadyStartedError` if another run started
    it, `ChildWorkflowError` if it did not end well."""
    await workflow.execute_child_workflow(
        NAMES[ref.kind],
        ref,
        id=workflow_id(ref),
        id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        task_queue=STORIES,
        task_timeout=TASK,
        search_attributes=search.of(ref),
        static_summary=summary,
        parent_close_policy=ParentClosePolicy.ABANDON,
        cancellation_type=ChildWorkflowCancellationType.ABANDON,
    )
