"""Starting a run. The row came first; "already started" means done."""

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from activities.calls import JobRef
from workflows.engine import search
from workflows.engine.job import priority
from workflows.engine.patience import TASK
from workflows.names import NAMES
from workflows.queues import STORIES

__all__ = ["JobRef", "start", "workflow_id"]


def workflow_id(ref: JobRef) -> str:
    """`<kind>:<job uuid>`, and `:r<n>` for a later generation."""
    suffix = f":r{ref.generation}" if ref.generation > 1 else ""
    return f"{ref.kind}:{ref.job_id}{suffix}"


async def start(client: Client, ref: JobRef, *, batch: bool = False) -> None:
    """Starts the run of this generation, once, whoever asks how often."""
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
        return
