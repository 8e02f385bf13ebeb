"""Giving money back: each undone line once, or what is left of a whole order."""

from typing import Protocol

from sqlmodel import select
from temporalio import activity

from activities.calls import StepCall
from activities.errors import NotYet
from activities.payments import Refund
from activities.store import Store, slowly
from models.base import utc_now
from models.database import Session
from models.jobs import Job
from models.money import share_of
from models.orders import Order
from models.payments import PaymentRefund
from models.queries import jobs, orders, refunds
from models.queries.outbox import tell_customer, tell_webhook
from models.states import UNDONE_JOBS, JobStatus, OrderStatus, RefundStatus


class RefundAccount(Protocol):
    """Whoever took the money. `key` makes a repeat the same refund."""

    async def refund(
        self,
        payment_intent_id: str,
        *,
        amount: int,
        key: str,
        metadata: dict[str, str],
    ) -> Refund:
        """Gives it back, or what a person has left of it; see `StripeAccount`."""
        ...


class RefundActivities:
    """`subject_id` of every call is the order."""

    def __init__(self, store: Store, payments: RefundAccount) -> None:
        self._store, self._payments = store, payments

    @activity.defn
    async def refund_undone(self, call: StepCall) -> None:
        """Refunds each undone line once: the row is unique, and so is Stripe's key."""
        async with self._store.step(call) as (session, _):
            order = await session.get_one(Order, call.subject_id)
            claim = await refunds.claim_of(session, order.id)
            lines = await orders.lines(session, order.id)
            undone = [item for item, one in lines if one.status in UNDONE_JOBS]
            if claim is None:
                await session.commit()
                return
            for item in await refunds.unrefunded(session, undone):
                share = share_of(claim.amount, item.amount, order.total)
                await refunds.intend(
                    session, claim, share, key=f"line:{item.id}", item=item
                )
            await session.commit()
        await self._make_refunds(call)

    @activity.defn
    async def refund_order(self, call: StepCall) -> None:
        """When every line is undone: refunds what is left, once, and ends the order."""
        async with self._store.step(call) as (session, root):
            order = await session.get_one(Order, call.subject_id)
            if standing := await self._not_undone(session, root):
                await session.commit()
                raise NotYet(f"{standing} items are not undone", delay=slowly())
            claim = await refunds.claim_of(session, order.id)
            if claim is not None:
                rest = claim.amount - await refunds.refunded(session, order.id)
                if rest > 0:
                    await refunds.intend(session, claim, rest, key=f"rest:{order.id}")
            await session.commit()
        await self._make_refunds(call)
        async with self._store.step(call) as (session, _):
            order = await session.get_one(Order, call.subject_id, with_for_update=True)
            if order.status in (OrderStatus.AWAITING_PAYMENT, OrderStatus.EXPIRED):
                order.cancel()
            elif order.status != OrderStatus.CANCELLED:
                order.settle(delivered=0, undone=1, now=utc_now())
            paid = await refunds.claim_of(session, order.id) is not None
            template = "order_failed" if paid else "order_cancelled"
            await tell_customer(session, order, template)
            await tell_webhook(session, order)
            await session.commit()

    async def _not_undone(self, session: Session, root: Job) -> int:
        """How many lines still stand. One that went live meanwhile is taken back."""
        standing = [
            line
            for line in await jobs.children(session, root.id)
            if line.status not in UNDONE_JOBS
        ]
        decision = await jobs.open_abort(session, root)
        for line in standing:
            if line.status == JobStatus.SUCCEEDED and decision is not None:
                await jobs.take_back(session, line, decision)
        return len(standing)

    async def _make_refunds(self, call: StepCall) -> None:
        async with self._store.step(call) as (session, _):
            intended = (
                await session.exec(
                    select(PaymentRefund).where(
                        PaymentRefund.order_id == call.subject_id,
                        PaymentRefund.status == RefundStatus.INTENDED,
                    )
                )
            ).all()
            await session.commit()
        for refund in intended:
            made = await self._payments.refund(
                refund.stripe_payment_intent_id,
                amount=refund.amount,
                key=refund.key,
                metadata={"order_id": str(call.subject_id)},
            )
            async with self._store.step(call) as (session, _):
                await refunds.made(
                    session,
                    refund.id,
                    stripe_id=made.id,
                    key=made.key,
                    amount=made.amount,
                    failed_as=made.status if made.failed else None,
                )
                await session.commit()
