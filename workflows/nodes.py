"""A node of the cluster is emptied, so that it can be taken away."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.nodes import NodeActivities

from workflows.engine.job import JobWorkflow, job_workflow
from workflows.engine.steps import Step
from workflows.queues import STORIES

BEGIN_DRAIN = Step(
    "begin_drain",
    "Place nothing there any more",
    NodeActivities.begin_drain,
    STORIES,
    undo=NodeActivities.call_off_drain,
    undo_summary="Let it take CloudPods again",
)
EMPTY_NODE = Step(
    "empty_node",
    "Ask each CloudPod on it to move, until none is left",
    NodeActivities.empty_node,
    STORIES,
)


@job_workflow(name="DrainNode")
class DrainNode(JobWorkflow):
    """Ends with an empty node, which takes nothing new until it is told to."""

    STEPS = (BEGIN_DRAIN, EMPTY_NODE)
