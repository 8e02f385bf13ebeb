"""The money identity, to the cent, from Stripe's side.

what succeeded = claimed by exactly one order or invoice + refunded + listed
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from sqlmodel import func, select

from activities.payment_proof import WINDOW
from activities.payments import Payment
from models.base import utc_now
from models.database import Database
from models.money import Cents
from models.payments import PaymentClaim, PaymentRefund, UnclaimedPayment
from models.queries import alerts
from models.queries.alerts import Finding
from models.states import RefundStatus, Severity, UnclaimedStatus
from models.tenants import MIGRAHOSTING

CAUSE = "money_identity"


@dataclass
class Books:
    """Sums in minor units; `faults` name each payment that does not add up."""

    succeeded: Cents = 0
    claimed: Cents = 0
    invoiced: Cents = 0
    refunded: Cents = 0
    listed: Cents = 0
    waiting: Cents = 0
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
) -> Books:
    """Holds each succeeded payment of Stripe's against our claims and refunds.

    `payments`: all that succeeded at Stripe from `since` on. One from after `young`
    may still find its order.
    """
    async with db.platform() as session:
        claims = {
            claim.stripe_payment_intent_id: claim
            for claim in (await session.exec(select(PaymentClaim))).all()
        }
        made = await session.exec(
            select(
                PaymentRefund.stripe_payment_intent_id, func.sum(PaymentRefund.amount)
            )
            .where(PaymentRefund.status == RefundStatus.MADE)
            .group_by(PaymentRefund.stripe_payment_intent_id)
        )
        refunds: dict[str, Cents] = {row[0]: int(row[1]) for row in made.all()}
        listed = await session.exec(
            select(UnclaimedPayment.stripe_payment_intent_id).where(
                UnclaimedPayment.status == UnclaimedStatus.LISTED
            )
        )
        unclaimed = set(listed.all())
    sums = Books()
    for payment in payments:
        if payment.status == "succeeded":
            _enter(sums, payment, claims, refunds, unclaimed, young)
    known = {payment.id for payment in payments}
    for claim in claims.values():
        # A payment may be a day older than the order that claims it.
        recent = claim.created_at > since + WINDOW
        if recent and claim.stripe_payment_intent_id not in known:
            paid = claim.stripe_payment_intent_id
            sums.faults.append(f"{paid} is claimed, and Stripe does not know it")
    return sums


def _enter(
    sums: Books,
    payment: Payment,
    claims: dict[str, PaymentClaim],
    refunds: dict[str, Cents],
    unclaimed: set[str],
    young: datetime | None,
) -> None:
    left = payment.amount_received - payment.amount_refunded
    sums.succeeded += payment.amount_received
    sums.refunded += payment.amount_refunded
    if payment.id in claims:
        sums.claimed += left
        claim = claims[payment.id]
        if claim.amount != payment.amount_received:
            sums.faults.append(f"{payment.id} is claimed with another amount")
        if payment.invoice_id is not None:
            sums.faults.append(f"{payment.id} is claimed twice: order and invoice")
        if payment.amount_refunded != refunds.get(payment.id, 0):
            sums.faults.append(
                f"{payment.id}: Stripe refunded {payment.amount_refunded},"
                f" we wrote {refunds.get(payment.id, 0)}"
            )
    elif payment.invoice_id is not None:
        sums.invoiced += left
    elif payment.id in unclaimed:
        sums.listed += left
    elif young is not None and payment.created_at > young:
        sums.waiting += left
    elif left:
        sums.faults.append(f"{payment.id}: {left} belong to nobody")


class Payments(Protocol):
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
        sums = await books(self._db, payments, since=since, young=young)
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
