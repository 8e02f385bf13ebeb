"""A ticket for a CloudPod's screen, fetched by whoever holds the cluster's key."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

from workflows.names import CONSOLE
from workflows.queues import PROXMOX

with workflow.unsafe.imports_passed_through():
    from activities.calls import ConsoleCall
    from activities.consoles import ConsoleActivities

__all__ = ["ConsoleCall", "ConsoleTicket"]


@workflow.defn(name=CONSOLE)
class ConsoleTicket:
    """One step, no job: who asks waits, and what is late is worth nothing."""

    @workflow.run
    async def run(self, call: ConsoleCall) -> str:
        return await workflow.execute_activity_method(
            ConsoleActivities.open_console,
            call,
            task_queue=PROXMOX,
            schedule_to_close_timeout=timedelta(seconds=10),
            retry_policy=RetryPolicy(maximum_attempts=1),
            summary="Ask for a ticket",
        )
