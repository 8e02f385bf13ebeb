"""A paid order becomes what it is for: every line delivered, or undone and refunded."""

import asyncio
from uuid import UUID

from temporalio import workflow
from temporalio.exceptions import (
    ChildWorkflowError,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)

with workflow.unsafe.imports_passed_through():
    from activities.calls import ItemPlan, JobRef
    from activities.orders import OrderActivities
    from activities.refunds import RefundActivities

from models.states import JobStatus
from workflows.engine.children import run_child
from workflows.engine.job import JobWorkflow, job_workflow
from workflows.engine.steps import Step
from workflows.queues import STORIES, STRIPE

BY_HAND = (
    "Only right if the customer has the money already, or gets it another way: Stripe"
    " is not asked for it any more, and the order ends as if it had paid it back."
)

PROVE_PAYMENT = Step(
    "prove_payment",
    "Prove the payment at Stripe and claim it",
    OrderActivities.prove_payment,
    STRIPE,
)
AWAIT_ITEM = Step(
    "await_item",
    "Wait for an item that another run delivers",
    OrderActivities.await_item,
    STORIES,
)
REFUND_UNDONE = Step(
    "refund_undone",
    "Refund the lines that were undone",
    RefundActivities.refund_undone,
    STRIPE,
    if_skipped=BY_HAND,
    done_by_hand=True,
)
SETTLE_ORDER = Step(
    "settle_order",
    "Settle the order and tell the customer",
    OrderActivities.settle_order,
    STORIES,
)
TAKE_BACK_ITEMS = Step(
    "take_back_items",
    "Have every line undone, the live ones too",
    OrderActivities.take_back_items,
    STORIES,
)
REFUND_ORDER = Step(
    "refund_order",
    "Refund what is left of the payment",
    RefundActivities.refund_order,
    STRIPE,
    if_skipped=BY_HAND,
    done_by_hand=True,
)


@job_workflow(name="FulfilOrder")
class FulfilOrder(JobWorkflow):
    """Proves the payment, releases the lines side by side, settles the order."""

    STEPS = (PROVE_PAYMENT, AWAIT_ITEM, REFUND_UNDONE, SETTLE_ORDER)
    WAY_BACK = (TAKE_BACK_ITEMS, REFUND_ORDER)

    async def story(self) -> None:
        items: list[ItemPlan] = await self.step(PROVE_PAYMENT)
        await self._deliver_all(items)
        while await self.step(SETTLE_ORDER):
            await self.step(REFUND_UNDONE)

    async def undo(self) -> None:
        """Lines first, then the money: nobody is refunded for what still runs."""
        await self.step(TAKE_BACK_ITEMS)
        await self.step(REFUND_ORDER)

    async def _deliver_all(self, items: list[ItemPlan]) -> None:
        delivered: dict[UUID, asyncio.Future[bool]] = {
            item.job_id: asyncio.Future() for item in items
        }
        async with self.group() as group:
            for item in items:
                group.start(self._deliver_in_turn(item, delivered))

    async def _deliver_in_turn(
        self, item: ItemPlan, delivered: dict[UUID, "asyncio.Future[bool]"]
    ) -> None:
        """An add-on waits until what it needs is live; without that it never begins."""
        if item.needs is None or await asyncio.shield(delivered[item.needs]):
            delivered[item.job_id].set_result(await self._deliver(item))
        else:
            delivered[item.job_id].set_result(False)

    async def _deliver(self, item: ItemPlan) -> bool:
        if item.status in (JobStatus.FAILED, JobStatus.CANCELLED):
            return False
        if item.status is JobStatus.SUCCEEDED:
            return True
        # One that waits for a person goes on by its own decision.
        if item.generation == 1 and item.status is not JobStatus.NEEDS_ATTENTION:
            try:
                await self._run(item)
            except WorkflowAlreadyStartedError:
                pass  # an earlier run of this order has started it
            except ChildWorkflowError as error:
                if is_cancelled_exception(error) and self._abort is not None:
                    raise
            else:
                return True
        # Its row says how it ended, whichever run brought it there.
        return bool(await self.step(AWAIT_ITEM, item=item.job_id))

    async def _run(self, item: ItemPlan) -> None:
        ref = JobRef(
            job_id=item.job_id,
            tenant_id=self.ref.tenant_id,
            subject_id=item.subject_id,
            kind=item.kind,
        )
        await run_child(ref, item.summary)
