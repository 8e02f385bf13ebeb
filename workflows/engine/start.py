"""Starting a run. The row came first; "already started" means done."""

from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowExecutionStatus,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities.calls import JobRef, Life
from models.states import CLOUDPOD_ACTS
from workflows.engine import search
from workflows.engine.job import priority
from workflows.engine.patience import TASK
from workflows.names import LIFE, NAMES, life_id
from workflows.queues import STORIES

__all__ = ["JobRef", "start", "workflow_id"]


def workflow_id(ref: JobRef) -> str:
    """`<kind>:<job uuid>`, and `:r<n>` for a later generation."""
    suffix = f":r{ref.generation}" if ref.generation > 1 else ""
    return f"{ref.kind}:{ref.job_id}{suffix}"


async def start(client: Client, ref: JobRef, *, batch: bool = False) -> bool:
    """Starts the run of this generation, once, whoever asks how often.

    False: it was handed to its CloudPod's life, which begins it in its turn.
    """
    if ref.kind in CLOUDPOD_ACTS and ref.abort is None:
        await _hand_over(client, ref)
        return False
    try:
        await client.start_workflow(
            NAMES[ref.kind],
            ref,
            id=workflow_id(ref),
            task_queue=STORIES,
            task_timeout=TASK,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            search_attributes=search.of(ref),
            static_summary=f"{ref.kind} {str(ref.subject_id)[:8]}",
            priority=priority(batch=batch, tenant=str(ref.tenant_id)),
        )
    except WorkflowAlreadyStartedError:
        return True
    return True


async def _hand_over(client: Client, ref: JobRef) -> None:
    """An update of the life, which is started if it is not there. Its id is the run's:
    handed over twice, it is taken once, and once more by the life after one that was
    ended. (Temporal gives the answer of a run that is closed, and starts none.)"""
    ended = await _ended_life(client, ref)
    await client.execute_update_with_start_workflow(
        "take",
        ref,
        id=workflow_id(ref) + (f"@{ended}" if ended else ""),
        start_workflow_operation=WithStartWorkflowOperation(
            LIFE,
            Life(ref.subject_id),
            id=life_id(ref.subject_id),
            task_queue=STORIES,
            task_timeout=TASK,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            search_attributes=search.of_subject(ref),
            static_summary=f"cloudpod {str(ref.subject_id)[:8]}",
        ),
    )


async def _ended_life(client: Client, ref: JobRef) -> str | None:
    """The last run of its CloudPod's life, if that is closed."""
    try:
        life = await client.get_workflow_handle(life_id(ref.subject_id)).describe()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return None
    return None if life.status is WorkflowExecutionStatus.RUNNING else life.run_id
