"""The money identity, to the cent, from Stripe's side.

what succeeded = claimed by exactly one order or invoice + refunded + listed
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from sqlmodel import col, func, select

from activities.payment_proof import WINDOW
from activities.payments import Payment
from models.base import utc_now
from models.database import Database, Session
from models.money import Cents
from models.payments import PaymentClaim, PaymentRefund, UnclaimedPayment
from models.queries import alerts
from models.queries.alerts import Finding
from models.states import GIVEN_BACK, RefundStatus, Severity, UnclaimedStatus
from models.tenants import MIGRAHOSTING

CAUSE = "money_identity"
_AT_ONCE: Final = 1000

Ask = Callable[[str], Awaitable[Payment | None]]


@dataclass
class Books:
    """Sums in minor units; `faults` name each payment that does not add up.

    `by_hand`: of `claimed`, what was given back by other means than Stripe's, as
    operators said when they skipped its refund.
    """

    succeeded: Cents = 0
    claimed: Cents = 0
    invoiced: Cents = 0
    refunded: Cents = 0
    listed: Cents = 0
    waiting: Cents = 0
    by_hand: Cents = 0
    faults: list[str] = field(default_factory=list)

    @property
    def balanced(self) -> bool:
        """Whether every cent has its place."""
        told = self.claimed + self.invoiced + self.refunded + self.listed + self.waiting
        return not self.faults and self.succeeded == told


async def books(
    db: Database,
    payments: Sequence[Payment],
    *,
    since: datetime,
    young: datetime | None = None,
    ask: Ask | None = None,
) -> Books:
    """Holds each succeeded payment of Stripe's against our claims and refunds.

    `payments`: all that succeeded at Stripe from `since` on. One from after `young`,
    or that an operator made an order of, is still to be claimed. `ask` tells of one
    that is claimed and not among them: it came while we looked, or is from before
    `since`, as a bank debit takes days, and a person over the weekend, too.
    """
    sums = Books()
    succeeded = [one for one in payments if one.status == "succeeded"]
    async with db.platform() as session:
        for start in range(0, len(succeeded), _AT_ONCE):
            part = succeeded[start : start + _AT_ONCE]
            ours = await _ours(session, [payment.id for payment in part])
            for payment in part:
                _enter(sums, payment, ours, young)
        # A payment may be a day older than the order that claims it.
        claimed = await session.exec(
            select(PaymentClaim.stripe_payment_intent_id).where(
                PaymentClaim.created_at > since + WINDOW
            )
        )
        unknown = sorted({*claimed.all()} - {one.id for one in payments})
    for payment_id in unknown:
        known = await ask(payment_id) if ask is not None else None
        if known is None or known.status != "succeeded":
            sums.faults.append(f"{payment_id} is claimed, and Stripe does not know it")
    return sums


@dataclass(frozen=True)
class _Ours:
    """What we know of some payments, by their ids. `settled`: given back by hand."""

    claims: Mapping[str, PaymentClaim]
    made: Mapping[str, Cents]
    settled: Mapping[str, Cents]
    unclaimed: Mapping[str, str]


async def _ours(session: Session, payment_ids: Sequence[str]) -> _Ours:
    claims = await session.exec(
        select(PaymentClaim).where(
            col(PaymentClaim.stripe_payment_intent_id).in_(payment_ids)
        )
    )
    refunds = await session.exec(
        select(
            PaymentRefund.stripe_payment_intent_id,
            PaymentRefund.status,
            func.sum(PaymentRefund.amount),
        )
        .where(
            col(PaymentRefund.stripe_payment_intent_id).in_(payment_ids),
            col(PaymentRefund.status).in_(GIVEN_BACK),
        )
        .group_by(
            col(PaymentRefund.stripe_payment_intent_id), col(PaymentRefund.status)
        )
    )
    back: dict[str, dict[str, Cents]] = {status: {} for status in GIVEN_BACK}
    for payment_id, status, amount in refunds.all():
        back[status][payment_id] = int(amount)
    unclaimed = await session.exec(
        select(
            UnclaimedPayment.stripe_payment_intent_id, UnclaimedPayment.status
        ).where(col(UnclaimedPayment.stripe_payment_intent_id).in_(payment_ids))
    )
    return _Ours(
        claims={one.stripe_payment_intent_id: one for one in claims.all()},
        made=back[RefundStatus.MADE],
        settled=back[RefundStatus.SETTLED],
        unclaimed=dict(unclaimed.all()),
    )


def _enter(sums: Books, payment: Payment, ours: _Ours, young: datetime | None) -> None:
    sums.succeeded += payment.amount_received
    sums.refunded += payment.amount_refunded
    claim = ours.claims.get(payment.id)
    if claim is not None:
        sums.claimed += payment.left
        if claim.amount != payment.amount_received:
            sums.faults.append(f"{payment.id} is claimed with another amount")
        if payment.invoice_id is not None:
            sums.faults.append(f"{payment.id} is claimed twice: order and invoice")
        _compare_refunds(sums, payment, ours)
    elif payment.invoice_id is not None:
        sums.invoiced += payment.left
    elif (status := ours.unclaimed.get(payment.id)) == UnclaimedStatus.LISTED:
        sums.listed += payment.left
    elif status == UnclaimedStatus.ORDERED or (
        young is not None and payment.created_at > young
    ):
        sums.waiting += payment.left
    elif payment.left:
        sums.faults.append(f"{payment.id}: {payment.left} belong to nobody")


def _compare_refunds(sums: Books, payment: Payment, ours: _Ours) -> None:
    """What an operator settled by hand, Stripe may show or not: that is told."""
    made, settled = ours.made.get(payment.id, 0), ours.settled.get(payment.id, 0)
    if made <= payment.amount_refunded <= made + settled:
        sums.by_hand += made + settled - payment.amount_refunded
        return
    by_hand = f", and {settled} by hand" if settled else ""
    sums.faults.append(
        f"{payment.id}: Stripe refunded {payment.amount_refunded},"
        f" we wrote {made}{by_hand}"
    )


class Payments(Protocol):
    async def payment(self, payment_intent_id: str) -> Payment | None: ...

    async def succeeded_since(self, since: datetime) -> list[Payment]: ...


class NightlyBooks:
    """Every night: the last month's books, and an alert for what does not add up.

    `unclaimed_after`: a younger payment may still find its order.
    """

    def __init__(
        self, db: Database, payments: Payments, *, unclaimed_after: timedelta
    ) -> None:
        self._db, self._payments = db, payments
        self._unclaimed_after = unclaimed_after

    async def round(self) -> None:
        """One open alert, with every fault of today in it; mailed once a day."""
        now = utc_now()
        since = now - timedelta(days=31)
        payments = await self._payments.succeeded_since(since)
        young = now - self._unclaimed_after * 2
        ask = self._payments.payment
        sums = await books(self._db, payments, since=since, young=young, ask=ask)
        told = "; ".join(sums.faults)[:2000] or f"unbalanced: {sums}"
        async with self._db.platform() as session:
            if sums.balanced:
                await alerts.end(session, CAUSE, MIGRAHOSTING)
            else:
                found = Finding(
                    tenant_id=MIGRAHOSTING,
                    subject_id=MIGRAHOSTING,
                    message=told,
                    severity=Severity.CRITICAL,
                    template="books.unbalanced",
                    facts={"faults": told},
                )
                today = f"{now:%Y-%m-%d}"
                await alerts.raise_alert(session, CAUSE, found, occasion=today)
            await session.commit()
