"""Stories as a careless change would leave them, for the tests that must notice.

A module of its own: Temporal's sandbox loads the module of each workflow anew.
"""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.calls import JobRef

from workflows.engine.job import JobWorkflow, job_workflow
from workflows.websites import (
    CREATE_RECORD,
    CREATE_SITE,
    DEPLOY_STARTER,
    GO_LIVE,
    PLACE_WEBSITE,
    ProvisionWebsite,
)


@job_workflow(name="ProvisionWebsite")
class Reordered(JobWorkflow):
    """The record before the group, instead of beside the site."""

    STEPS = (PLACE_WEBSITE, CREATE_RECORD, CREATE_SITE, DEPLOY_STARTER, GO_LIVE)


@workflow.defn(name="ProvisionWebsite")
class Buggy(JobWorkflow):
    """Its own code fails, not a step."""

    STEPS = ProvisionWebsite.STEPS

    @workflow.run
    async def run(self, ref: JobRef) -> None:
        raise RuntimeError("a mistake in the story")
