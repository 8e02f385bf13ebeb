"""Which payment proves an order: the rule, without any input or output.

A payment proves an order when it succeeded, is claimed by no order, belongs to no
invoice, is neither refunded nor disputed, has exactly our catalogue's amount and
currency, and carries our order reference, or else has the same customer and lies
within 24 hours of the order. Of several that fit, the oldest is taken. One that is
near (another amount, another currency) makes the order ambiguous: a person decides.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from activities.payments import Payment
from models.money import Cents

WINDOW = timedelta(hours=24)


@dataclass(frozen=True)
class Due:
    """What an order must be paid with. `currency` in any case; amounts in cents."""

    order_id: UUID
    customer_id: str | None
    amount: Cents
    currency: str
    placed_at: datetime


@dataclass(frozen=True)
class Proof:
    """`payment` proves it; else `ambiguous` or `missing` says why none does.

    `code`: in what the payment differs, `several` if more than one is near. `near`:
    what was paid so, and is nobody's.
    """

    payment: Payment | None = None
    ambiguous: str | None = None
    missing: str | None = None
    code: str = ""
    near: tuple[Payment, ...] = ()


def judge(due: Due, payments: Sequence[Payment], claimed: Collection[str]) -> Proof:
    """The oldest payment that fits, or the reason why none does."""
    near: list[Payment] = []
    spoilt: list[str] = []
    fitting: list[Payment] = []
    for payment in payments:
        if payment.id in claimed or payment.invoice_id or not _concerns(due, payment):
            continue
        if payment.status != "succeeded":
            continue
        if payment.disputed or payment.amount_refunded:
            spoilt.append(
                f"{payment.id} is {'disputed' if payment.disputed else 'refunded'}"
            )
        elif _exact(due, payment):
            fitting.append(payment)
        else:
            near.append(payment)
    if fitting:
        return Proof(payment=min(fitting, key=lambda one: (one.created_at, one.id)))
    if near:
        near.sort(key=lambda one: (one.created_at, one.id))
        code = _difference(due, near[0]) if len(near) == 1 else "several"
        told = "; ".join(sorted(_beside(due, one) for one in near))
        return Proof(ambiguous=told, code=code, near=tuple(near))
    if spoilt:
        return Proof(missing="; ".join(sorted(spoilt)))
    return Proof(missing="no payment that fits has succeeded")


def accept(named: str, payments: Sequence[Payment], claimed: Collection[str]) -> Proof:
    """A person named the payment: amount, customer and time do not matter any more.

    It must still have succeeded, be nobody else's, and not be given back.
    """
    payment = next((one for one in payments if one.id == named), None)
    if payment is None:
        return Proof(ambiguous=f"Stripe knows no payment {named}", code="unknown")
    for wrong, code, what in (
        (named in claimed, "claimed", "is claimed by another order"),
        (payment.invoice_id is not None, "invoiced", "belongs to an invoice"),
        (payment.status != "succeeded", "unpaid", f"is {payment.status}"),
        (payment.disputed, "disputed", "is disputed"),
        (payment.amount_refunded > 0, "refunded", "is refunded"),
    ):
        if wrong:
            text = f"the payment {named} that was named {what}"
            return Proof(ambiguous=text, code=code)
    return Proof(payment=payment)


def _exact(due: Due, payment: Payment) -> bool:
    return (
        payment.amount_received == due.amount
        and payment.currency.lower() == due.currency.lower()
    )


def _beside(due: Due, payment: Payment) -> str:
    return (
        f"{payment.id} is {payment.amount_received} {payment.currency.upper()},"
        f" the order is {due.amount} {due.currency.upper()} (minor units)"
    )


def _difference(due: Due, payment: Payment) -> str:
    if payment.currency.lower() != due.currency.lower():
        return "other_currency"
    return "too_much" if payment.amount_received > due.amount else "too_little"


def _concerns(due: Due, payment: Payment) -> bool:
    """Ours by reference, or the same customer at about the same time."""
    if payment.order_reference and _is_ours(payment.order_reference):
        return payment.order_reference == str(due.order_id)
    return (
        due.customer_id is not None
        and payment.customer_id == due.customer_id
        and abs(payment.created_at - due.placed_at) <= WINDOW
    )


def _is_ours(reference: str) -> bool:
    """A shop's own order number says nothing about which of our orders it is."""
    try:
        UUID(reference)
    except ValueError:
        return False
    return True
