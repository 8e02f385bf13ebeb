"""Keeps our books and Stripe's together: events, payments nobody claimed, repeats.

An event only says where to look; what is true is fetched. A payment that succeeded and
whose event or order never came is found by asking for the payments themselves.
"""

from collections.abc import Awaitable, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol
from uuid import UUID, uuid4

import structlog
from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, or_, select
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetActivityRequest
from temporalio.client import Client
from temporalio.service import RPCError

from activities.errors import ProviderRejected, redacted
from activities.orders import PaymentAccount, due
from activities.payment_proof import judge
from activities.payments import Payment, Refund
from activities.refunds import RefundAccount
from models.base import utc_now
from models.database import Database, Session, asking
from models.errors import DomainError
from models.inbox import StripeEventReceived
from models.jobs import Job
from models.money import to_decimal
from models.ordering import OrderRequest, RepeatKey
from models.orders import Order, OrderRepeat
from models.payments import PaymentClaim, PaymentRefund, UnclaimedPayment
from models.queries import alerts, jobs, refunds
from models.queries.orders import place
from models.states import (
    JobKind,
    JobStatus,
    OrderStatus,
    RefundStatus,
    RepeatStatus,
    Severity,
    UnclaimedStatus,
)
from models.tenants import MIGRAHOSTING

_log = structlog.get_logger(__name__)
UNCLAIMED = "payment_unclaimed"
UNREADABLE = "stripe_event_unreadable"
_PROVE = "prove_payment"
_WAITING = (OrderStatus.AWAITING_PAYMENT, OrderStatus.EXPIRED)
_WAKE_CALLS = 3
# So often Stripe may refuse to tell of a refund, at five seconds each.
REFUSALS = 20
_REFUND_EVENTS = ("refund.failed", "refund.updated", "charge.refund.updated")
# How far back each look goes: the farther, the more seldom. A bank debit succeeds up to
# two weeks after it was made, and Stripe lists payments by when they were made.
_LOOK_BACK = timedelta(hours=2)
_FAR_LOOKS: Final = (
    (timedelta(days=31), timedelta(days=1)),
    (timedelta(days=8), timedelta(hours=1)),
)
# A repeat whose payment has not come by then is a repeat and nothing else.
_REPEAT_WAITS = timedelta(minutes=15)


# Listed in the moment in which its order claimed it.
_UNLIST_CLAIMED = (
    update(UnclaimedPayment)
    .where(
        col(UnclaimedPayment.status) == UnclaimedStatus.LISTED,
        col(UnclaimedPayment.stripe_payment_intent_id)
        == PaymentClaim.stripe_payment_intent_id,
    )
    .values(status=UnclaimedStatus.CLAIMED, order_id=PaymentClaim.order_id)
    .execution_options(synchronize_session=False)
)
# Aborted before it could claim the payment: nobody but us would tell of it again.
_LIST_ANEW = (
    update(UnclaimedPayment)
    .where(
        col(UnclaimedPayment.status) == UnclaimedStatus.ORDERED,
        col(UnclaimedPayment.order_id) == Order.id,
        col(Order.status) == OrderStatus.CANCELLED,
    )
    .values(
        status=UnclaimedStatus.LISTED,
        order_id=None,
        decided_by=None,
        note="the order that was made for it was aborted",
    )
    .execution_options(synchronize_session=False)
)


class Payments(PaymentAccount, RefundAccount, Protocol):
    async def refund_now(self, refund_id: str) -> Refund | None: ...

    async def succeeded_since(self, since: datetime) -> list[Payment]: ...


class StripeWatch:
    """`unclaimed_after`: how long a payment may be without an order before it is
    listed."""

    def __init__(
        self,
        db: Database,
        client: Client,
        payments: Payments,
        *,
        unclaimed_after: timedelta,
        platform_domain: str,
    ) -> None:
        self._db, self._client, self._payments = db, client, payments
        self._unclaimed_after = unclaimed_after
        self._platform_domain = platform_domain
        self._looked_at: dict[timedelta, datetime] = {}

    async def events(self) -> None:
        """Works through the inbox: what was paid wakes the orders that wait for it."""
        async with self._db.platform() as session:
            found = await session.exec(
                select(StripeEventReceived)
                .where(col(StripeEventReceived.handled_at).is_(None))
                # What is tried again and again stands behind what is new.
                .order_by(
                    col(StripeEventReceived.attempts),
                    col(StripeEventReceived.created_at),
                )
                .limit(100)
            )
            events = found.all()
        for event in events:
            await _each(self._event(event), of=event.event_id)

    async def _event(self, event: StripeEventReceived) -> None:
        if event.type in _REFUND_EVENTS:
            try:
                await self._look_at_refund(event.object_id)
            except ProviderRejected as refused:
                await self._refused(event, refused)
                return
        payment = await self._payment_of(event)
        woken = (
            payment is not None
            and payment.status == "succeeded"
            and await self._wake(payment)
        )
        async with self._db.platform() as session:
            row = await session.get_one(StripeEventReceived, event.id)
            row.attempts += 1
            # A step that was just asking may have missed it: wake it once more.
            if not woken or row.attempts >= _WAKE_CALLS:
                row.handled_at = utc_now()
            await session.commit()

    async def _look_at_refund(self, refund_id: str) -> None:
        """A refund may fail days after it was made, and nobody else would tell."""
        refund = await self._payments.refund_now(refund_id)
        if refund is not None and refund.failed:
            async with self._db.platform() as session:
                await refunds.failed(session, refund.id, why=refund.status)
                await session.commit()

    async def _refused(
        self, event: StripeEventReceived, refused: ProviderRejected
    ) -> None:
        """A person looks, where we may not."""
        async with self._db.platform() as session:
            row = await session.get_one(StripeEventReceived, event.id)
            row.attempts += 1
            if row.attempts >= REFUSALS:
                row.handled_at = utc_now()
                found = alerts.Finding(
                    tenant_id=MIGRAHOSTING,
                    subject_id=row.id,
                    message=f"Stripe does not tell us of the refund {row.object_id}"
                    f" ({redacted(str(refused))}): look in its dashboard whether its"
                    " customer has the money, then resolve this alert",
                    severity=Severity.CRITICAL,
                )
                await alerts.raise_alert(
                    session, UNREADABLE, found, occasion=row.event_id
                )
            await session.commit()

    async def _payment_of(self, event: StripeEventReceived) -> Payment | None:
        try:
            if event.type == "payment_intent.succeeded":
                return await self._payments.payment(event.object_id)
            if event.type.startswith("checkout.session."):
                paid_by = await self._payments.session_payment(event.object_id)
                return await self._payments.payment(paid_by) if paid_by else None
        except ProviderRejected as error:
            _log.warning("event_refused", event=event.event_id, code=error.code)
        return None

    async def _wake(self, payment: Payment) -> bool:
        """The orders that this payment may prove ask again now. False: none waits."""
        async with self._db.platform() as session:
            ours = [col(Order.id) == _uuid(payment.order_reference or "")]
            if payment.customer_id is not None:
                ours.append(col(Order.stripe_customer_id) == payment.customer_id)
            found = await session.exec(
                select(Order, Job)
                .join(Job, col(Job.subject_id) == col(Order.id))
                .where(
                    col(Order.status).in_(_WAITING),
                    Job.kind == JobKind.FULFIL_ORDER,
                    or_(*ours),
                )
            )
            waiting = found.all()
        for order, job in waiting:
            if payment.order_reference == str(order.id):
                await self._hint(order, payment)
            if order.status == OrderStatus.EXPIRED:
                await self._revive(order, job, payment)
            else:
                await self.ask_now(job)
        return bool(waiting)

    async def _hint(self, order: Order, payment: Payment) -> None:
        """It names this order, whoever's it is at Stripe: there to be looked at."""
        async with self._db.platform() as session:
            row = await session.get_one(Order, order.id, with_for_update=True)
            if row.stripe_payment_intent_id is None:
                row.stripe_payment_intent_id = payment.id
                await session.commit()

    async def _revive(self, order: Order, job: Job, payment: Payment) -> None:
        """An order that had expired is fulfilled after all, by a new run."""
        if judge(due(order), [payment], set()).payment is None:
            return
        async with self._db.platform() as session:
            revived = await session.get_one(Order, order.id, with_for_update=True)
            row = await session.get_one(Job, job.id, with_for_update=True)
            if row.status == JobStatus.FAILED and revived.status == OrderStatus.EXPIRED:
                revived.revive()
                await jobs.begin_anew(session, row)
                row.started_at = None
                await session.commit()

    async def ask_now(self, job: Job) -> None:
        """Ends the back-off of the waiting step; not waiting is no error."""
        try:
            await self._client.workflow_service.reset_activity(
                ResetActivityRequest(
                    namespace=self._client.namespace,
                    execution=WorkflowExecution(workflow_id=job.workflow_id),
                    id=_PROVE,
                ),
                timeout=timedelta(seconds=5),
            )
        except RPCError as error:
            _log.info("no_step_to_wake", job=str(job.id), status=str(error.status))

    async def payments(self) -> None:
        """Finds what succeeded and is claimed by no order and no invoice."""
        now = utc_now()
        far = self._far(now)
        succeeded = await self._payments.succeeded_since(now - far)
        async with self._db.platform() as session:
            await session.exec(_UNLIST_CLAIMED)
            await session.exec(_LIST_ANEW)
            known = await _known(session, [payment.id for payment in succeeded])
            await session.commit()
        for payment in succeeded:
            loose = (
                payment.id not in known
                and payment.invoice_id is None
                and payment.amount_refunded < payment.amount_received
            )
            if loose:
                await self._wake(payment)
                if now - payment.created_at >= self._unclaimed_after:
                    await self._list(payment)
        self._looked_at |= {shorter: now for shorter, _ in _FAR_LOOKS if shorter <= far}

    def _far(self, now: datetime) -> timedelta:
        for far, every in _FAR_LOOKS:
            looked_at = self._looked_at.get(far)
            if looked_at is None or now - looked_at > every:
                return far
        return _LOOK_BACK

    async def _list(self, payment: Payment) -> None:
        async with self._db.platform() as session:
            if payment.id in await _known(session, [payment.id]):
                return  # claimed while we looked
            note = "disputed" if payment.disputed else ""
            statement = (
                insert(UnclaimedPayment)
                .values(
                    id=uuid4(),
                    created_at=utc_now(),
                    stripe_payment_intent_id=payment.id,
                    stripe_customer_id=payment.customer_id,
                    amount=payment.amount_received - payment.amount_refunded,
                    currency=payment.currency,
                    paid_at=payment.created_at,
                    note=note,
                    status=UnclaimedStatus.LISTED,
                )
                .on_conflict_do_nothing()
                .returning(col(UnclaimedPayment.id))
            )
            listed = (await session.exec(statement)).scalar_one_or_none()
            if listed is not None:
                await alerts.raise_alert(
                    session,
                    UNCLAIMED,
                    _nobodys(payment, listed),
                    occasion=payment.id,
                )
            await session.commit()

    async def repeats(self) -> None:
        """A repeated body is a second purchase if Stripe holds a second payment."""
        async with self._db.platform() as session:
            found = await session.exec(
                select(OrderRepeat)
                .where(OrderRepeat.status == RepeatStatus.HELD)
                .order_by(col(OrderRepeat.created_at))
                .limit(500)
            )
            held = found.all()
        first_of: dict[UUID, list[OrderRepeat]] = {}
        for repeat in held:
            first_of.setdefault(repeat.first_order_id, []).append(repeat)
        for first_id, repeats in first_of.items():
            await _each(self._settle_repeats(first_id, repeats), of=str(first_id))

    async def _settle_repeats(
        self, first_id: UUID, repeats: Sequence[OrderRepeat]
    ) -> None:
        async with self._db.platform() as session:
            first = await session.get_one(Order, first_id)
            waiting = await _unpaid_like(session, first)
        if first.stripe_customer_id is not None:
            payments = await self._payments.payments_of(
                first.stripe_customer_id, since=first.created_at - timedelta(hours=24)
            )
            async with self._db.platform() as session:
                known = await _known(session, [payment.id for payment in payments])
            if judge(due(first), payments, known).payment is not None:
                # One that waits claims it first; then there is another one, or none.
                if not waiting:
                    await self._order_or_close(repeats[0])
                return
        late = utc_now() - _REPEAT_WAITS
        await self._close([repeat for repeat in repeats if repeat.created_at < late])

    async def _order_or_close(self, repeat: OrderRepeat) -> None:
        try:
            await self._order(repeat.id)
        except DomainError as refused:
            # Its payment stays unclaimed, and so is listed for a person.
            _log.warning("repeat_refused", code=refused.code)
            await self._close([repeat])

    async def _close(self, repeats: Sequence[OrderRepeat]) -> None:
        """Repeats, and nothing else."""
        async with self._db.platform() as session:
            for repeat in repeats:
                row = await session.get_one(
                    OrderRepeat, repeat.id, with_for_update=True
                )
                if row.status == RepeatStatus.HELD:
                    row.status = RepeatStatus.DUPLICATE
            await session.commit()

    async def _order(self, repeat_id: UUID) -> None:
        async with self._db.platform() as session:
            row = await session.get_one(OrderRepeat, repeat_id, with_for_update=True)
            if row.status == RepeatStatus.HELD:
                placed = await place(
                    asking(session),
                    row.tenant_id,
                    OrderRequest.from_json(row.request),
                    key=RepeatKey(f"repeat:{row.id}"),
                    platform_domain=self._platform_domain,
                )
                row.order_id = placed.order_id
                row.status = RepeatStatus.ORDERED
                await session.commit()

    async def refunds(self) -> None:
        """Makes the refunds that an operator decided for unclaimed payments."""
        async with self._db.platform() as session:
            found = await session.exec(
                select(PaymentRefund).where(
                    PaymentRefund.status == RefundStatus.INTENDED,
                    col(PaymentRefund.order_id).is_(None),
                )
            )
            intended = found.all()
        for refund in intended:
            await _each(self._refund(refund), of=refund.stripe_payment_intent_id)

    async def _refund(self, refund: PaymentRefund) -> None:
        try:
            made = await self._payments.refund(
                refund.stripe_payment_intent_id,
                amount=refund.amount,
                key=refund.key,
                metadata={},
            )
        except ProviderRejected as refused:
            await self._list_again(refund, str(refused))
            return
        async with self._db.platform() as session:
            await refunds.made(
                session,
                refund.id,
                stripe_id=made.id,
                key=made.key,
                amount=made.amount,
                failed_as=made.status if made.failed else None,
            )
            await session.commit()

    async def _list_again(self, refund: PaymentRefund, why: str) -> None:
        """Stripe refused: the payment waits for another decision, and says why."""
        async with self._db.platform() as session:
            payment = (
                await session.exec(
                    select(UnclaimedPayment)
                    .where(
                        UnclaimedPayment.stripe_payment_intent_id
                        == refund.stripe_payment_intent_id
                    )
                    .with_for_update()
                )
            ).one()
            payment.status, payment.note = UnclaimedStatus.LISTED, why
            await session.delete(await session.get_one(PaymentRefund, refund.id))
            await session.commit()


async def _each(work: Awaitable[None], *, of: str) -> None:
    """One row that cannot be worked through does not hold up the others."""
    try:
        await work
    except Exception as error:  # noqa: BLE001 - logged, and tried again next round
        told = redacted(f"{type(error).__name__}: {error}")
        _log.warning("put_off", of=of, error=told)


def _nobodys(payment: Payment, listed: UUID) -> alerts.Finding:
    amount, currency = to_decimal(payment.amount_received), payment.currency.upper()
    return alerts.Finding(
        tenant_id=MIGRAHOSTING,
        subject_id=listed,
        message=f"{payment.id}: {amount} {currency} succeeded; no order claims it",
        template="payment.unclaimed",
        facts={
            "paymentIntentId": payment.id,
            "amount": str(amount),
            "currency": currency,
            "paidAt": payment.created_at.isoformat(),
        },
    )


async def _known(session: Session, payment_ids: Sequence[str]) -> set[str]:
    """Claimed by an order, or decided upon by an operator."""
    claimed = await session.exec(
        select(PaymentClaim.stripe_payment_intent_id).where(
            col(PaymentClaim.stripe_payment_intent_id).in_(payment_ids)
        )
    )
    decided = await session.exec(
        select(UnclaimedPayment.stripe_payment_intent_id).where(
            col(UnclaimedPayment.stripe_payment_intent_id).in_(payment_ids),
            UnclaimedPayment.status != UnclaimedStatus.LISTED,
        )
    )
    return {*claimed.all(), *decided.all()}


async def _unpaid_like(session: Session, first: Order) -> bool:
    """Whether an order for the same money still waits for its own payment."""
    found = await session.exec(
        select(Order.id).where(
            Order.stripe_customer_id == first.stripe_customer_id,
            Order.status == OrderStatus.AWAITING_PAYMENT,
            Order.total == first.total,
            Order.currency == first.currency,
        )
    )
    return found.first() is not None


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
