"""One plugin for API, worker, replayer and tests: converter, sandbox, interceptors."""

from collections.abc import Sequence
from dataclasses import replace

from temporalio.client import Interceptor as ClientInterceptor
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.plugin import SimplePlugin
from temporalio.worker import Interceptor as WorkerInterceptor
from temporalio.worker import UnsandboxedWorkflowRunner, WorkflowRunner
from temporalio.worker.workflow_sandbox import (
    SandboxedWorkflowRunner,
    SandboxRestrictions,
)

# The sandbox reads every other module anew for each run. The engine keeps nothing at
# module level, and what it did otherwise than before a replay would notice.
_PASSED_THROUGH = (
    *("activities", "models", "pydantic", "sqlmodel", "sqlalchemy"),
    *("workflows.engine", "workflows.names", "workflows.queues"),
)


def _sandboxed(runner: WorkflowRunner | None) -> WorkflowRunner:
    if isinstance(runner, SandboxedWorkflowRunner):
        return replace(
            runner,
            restrictions=runner.restrictions.with_passthrough_modules(*_PASSED_THROUGH),
        )
    if runner is not None:
        return runner
    return SandboxedWorkflowRunner(
        restrictions=SandboxRestrictions.default.with_passthrough_modules(
            *_PASSED_THROUGH
        )
    )


def _free(_: WorkflowRunner | None) -> WorkflowRunner:
    return UnsandboxedWorkflowRunner()


def engine_plugin(
    *interceptors: ClientInterceptor | WorkerInterceptor, sandboxed: bool = True
) -> SimplePlugin:
    """For `Client.connect(plugins=[...])`; workers and the replayer take it from there.

    `interceptors`: the worker's step recorder; the API gives none. `sandboxed`: stories
    are kept from all that would differ at a replay. A check of the code, not of a run:
    whoever runs what has passed it may do without.
    """
    given: Sequence[ClientInterceptor | WorkerInterceptor] = interceptors
    return SimplePlugin(
        "mpanel-engine",
        data_converter=pydantic_data_converter,
        interceptors=given,
        workflow_runner=_sandboxed if sandboxed else _free,
    )
