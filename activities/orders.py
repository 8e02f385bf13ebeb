"""From a signed order to a settled one: proof of payment, the lines, the end."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from temporalio import activity

from activities.calls import ItemPlan, StepCall
from activities.errors import GiveUp, NotYet
from activities.payment_proof import WINDOW, Due, accept, judge
from activities.payments import Payment
from activities.store import Store, finish, slowly
from models.base import utc_now
from models.database import Session
from models.jobs import Job, Unclaimed
from models.orders import Order, OrderItem
from models.payments import PaymentClaim
from models.queries import jobs, orders, refunds, services
from models.queries.outbox import tell_customer, tell_webhook
from models.states import (
    OPEN_JOBS,
    UNDONE_JOBS,
    JobKind,
    JobStatus,
    OrderStatus,
    Reason,
)

# An unproven order asks Stripe again at these ages, then hourly, then gives up.
ASK_AGAIN = (60.0, 120.0, 300.0, 600.0)
ASK_HOURLY = 3600.0
EXPIRES = timedelta(days=7)


class PaymentAccount(Protocol):
    """What is asked of the payment provider."""

    async def payment(self, payment_intent_id: str) -> Payment | None: ...

    async def payments_of(
        self, stripe_customer_id: str, *, since: datetime
    ) -> list[Payment]: ...

    async def session_payment(self, checkout_session_id: str) -> str | None: ...


class OrderActivities:
    """`subject_id` of every call is the order."""

    def __init__(self, store: Store, payments: PaymentAccount) -> None:
        self._store, self._payments = store, payments

    @activity.defn
    async def prove_payment(self, call: StepCall) -> list[ItemPlan]:
        """Claims the payment that proves the order, and gives the lines to deliver.

        Safe to repeat: a claim is a unique row, and the order's own claim is returned.
        """
        async with self._store.step(call) as (session, job):
            order = await session.get_one(Order, call.subject_id)
            if await refunds.claim_of(session, order.id) is not None:
                await session.refresh(order, with_for_update=True)
                return await _paid(session, order)
            named = str(job.input.get("accepted_payment") or "") or None
            await session.commit()
        candidates = await self._candidates(order, named)
        # Another order may be quicker at the unique row: then the next one that fits.
        while (plan := await self._claim(call, named, candidates)) is None:
            continue
        return plan

    async def _claim(
        self, call: StepCall, named: str | None, candidates: Sequence[Payment]
    ) -> list[ItemPlan] | None:
        async with self._store.step(call, platform=True) as (session, job):
            order = await session.get_one(Order, call.subject_id, with_for_update=True)
            if await refunds.claim_of(session, order.id) is not None:
                return await _paid(session, order)
            if order.status not in (OrderStatus.AWAITING_PAYMENT, OrderStatus.EXPIRED):
                raise GiveUp(Reason.ENDED, f"the order is {order.status}")
            taken = await refunds.spoken_for(
                session, [one.id for one in candidates], order_id=order.id
            )
            proof = (
                accept(named, candidates, taken)
                if named
                else judge(due(order), candidates, taken)
            )
            job.keep_unclaimed(
                [
                    Unclaimed(one.id, one.left, one.currency.upper())
                    for one in proof.near
                ]
            )
            if proof.payment is None and proof.ambiguous:
                await session.commit()
                raise GiveUp(Reason.PAYMENT_AMBIGUOUS, proof.ambiguous, code=proof.code)
            if proof.payment is None:
                await self._wait_or_expire(session, order, job, proof.missing)
                return None
            session.add(
                PaymentClaim(
                    tenant_id=order.tenant_id,
                    stripe_payment_intent_id=proof.payment.id,
                    stripe_charge_id=proof.payment.charge_id,
                    order_id=order.id,
                    amount=proof.payment.amount_received,
                    currency=proof.payment.currency.lower(),
                )
            )
            try:
                await refunds.unlist(session, proof.payment.id, order_id=order.id)
                return await _paid(session, order)
            except IntegrityError:
                return None

    async def _candidates(self, order: Order, named: str | None) -> Sequence[Payment]:
        if named:
            payment = await self._payments.payment(named)
            return [payment] if payment else []
        hinted = order.stripe_payment_intent_id
        if order.stripe_checkout_session_id and not hinted:
            hinted = await self._payments.session_payment(
                order.stripe_checkout_session_id
            )
        found: dict[str, Payment] = {}
        if hinted and (payment := await self._payments.payment(hinted)):
            found[payment.id] = payment
        if order.stripe_customer_id is not None:
            since = order.created_at - WINDOW
            for payment in await self._payments.payments_of(
                order.stripe_customer_id, since=since
            ):
                found[payment.id] = payment
        return list(found.values())

    async def _wait_or_expire(
        self, session: Session, order: Order, job: Job, missing: str | None
    ) -> None:
        age = (utc_now() - (job.started_at or order.created_at)).total_seconds()
        if age < EXPIRES.total_seconds():
            await session.commit()
            delay = next((at - age for at in ASK_AGAIN if at > age), ASK_HOURLY)
            raise NotYet(missing or "no payment yet", delay=max(delay, 1.0))
        order.expire()
        for line in await jobs.children(session, job.id):
            await services.fail_subject(session, line)
        job.status, job.reason = JobStatus.FAILED, Reason.PAYMENT_EXPIRED
        job.message = "not paid within 7 days"
        job.ended_at = job.updated_at = utc_now()
        await session.commit()
        raise GiveUp(Reason.ENDED, "not paid within 7 days")

    @activity.defn
    async def await_item(self, call: StepCall) -> bool:
        """Whether the line `item_id` was delivered; asks again until its job ended."""
        async with self._store.step(call) as (session, _):
            job = await jobs.get(session, _item(call))
            await session.commit()
        if job.status in OPEN_JOBS:
            raise NotYet(f"the item's job is {job.status}", delay=slowly())
        return job.status == JobStatus.SUCCEEDED

    @activity.defn
    async def settle_order(self, call: StepCall) -> bool:
        """Writes what the order became. True: first, undone lines must be refunded.

        Safe to repeat: mails and events are unique rows of the same transaction.
        """
        async with self._store.step(call) as (session, job):
            order = await session.get_one(Order, call.subject_id, with_for_update=True)
            lines = await orders.lines(session, order.id)
            await _cancel_orphaned(session, lines)
            if still := [one for _, one in lines if one.status in OPEN_JOBS]:
                await session.commit()
                raise NotYet(f"{len(still)} items are open", delay=slowly())
            undone = [item for item, one in lines if one.status in UNDONE_JOBS]
            if await refunds.unrefunded(session, undone):
                await session.commit()
                return True
            delivered = len(lines) - len(undone)
            order.settle(delivered=delivered, undone=len(undone), now=utc_now())
            if letter := _letter(lines, delivered=delivered):
                await tell_customer(session, order, letter)
            await tell_webhook(session, order)
            finish(job)
            await session.commit()
        return False

    @activity.defn
    async def take_back_items(self, call: StepCall) -> None:
        """Has every line undone, the live ones too. Safe to repeat."""
        async with self._store.step(call) as (session, job):
            decision = await jobs.open_abort(session, job)
            if decision is None:
                raise GiveUp(Reason.INVALID, "no abort is written for this order")
            try:
                for line in await jobs.children(session, job.id):
                    await jobs.take_back(session, line, decision)
                    if line.status == JobStatus.CANCELLED:
                        await services.fail_subject(session, line)
            except IntegrityError:
                raise NotYet("another job holds one of the items", delay=2.0) from None
            await session.commit()


def due(order: Order) -> Due:
    """What the order must be paid with."""
    return Due(
        order_id=order.id,
        customer_id=order.stripe_customer_id,
        amount=order.total,
        currency=order.currency,
        placed_at=order.created_at,
    )


def _item(call: StepCall) -> UUID:
    if call.item_id is None:
        raise GiveUp(Reason.INVALID, "the call names no item")
    return call.item_id


async def _paid(session: Session, order: Order) -> list[ItemPlan]:
    """The claim, the order's state and the plan, in one transaction."""
    order.mark_paid()
    await tell_customer(session, order, "welcome")
    plan = await _plan(session, order)
    await session.commit()
    return plan


async def _plan(session: Session, order: Order) -> list[ItemPlan]:
    lines = await orders.lines(session, order.id)
    job_of = {item.id: job.id for item, job in lines}
    return [
        ItemPlan(
            job_id=job.id,
            subject_id=job.subject_id,
            kind=JobKind(job.kind),
            generation=job.generation,
            status=JobStatus(job.status),
            summary=f"{item.code} for order {str(order.id)[:8]}",
            needs=job_of.get(item.needs_item_id) if item.needs_item_id else None,
        )
        for item, job in lines
    ]


def _letter(lines: list[tuple[OrderItem, Job]], *, delivered: int) -> str | None:
    """What its end is told with; a website that lives was told of by itself."""
    if not delivered:
        return "order_failed"
    if delivered < len(lines):
        return "order_partial"
    website = any(job.kind == JobKind.WEBSITE_PROVISION for _, job in lines)
    return None if website else "order_ready"


async def _cancel_orphaned(
    session: Session, lines: list[tuple[OrderItem, Job]]
) -> None:
    """A line whose needed line was undone never begins."""
    undone = {item.id for item, job in lines if job.status in UNDONE_JOBS}
    for item, job in lines:
        if job.status == JobStatus.WAITING and item.needs_item_id in undone:
            job.status, job.ended_at = JobStatus.CANCELLED, utc_now()
            await services.fail_subject(session, job)
