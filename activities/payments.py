"""Payments as we see them, whoever takes the money."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Payment:
    """One payment; amounts are in minor units, `currency` is in lower case.

    `order_reference` is our order's id, where the payer's checkout passed it on.
    """

    id: str
    customer_id: str | None
    amount: int
    amount_received: int
    currency: str
    status: str
    created_at: datetime
    order_reference: str | None
    amount_refunded: int
    disputed: bool
    invoice_id: str | None
    charge_id: str | None

    @property
    def left(self) -> int:
        """What of it is not given back."""
        return self.amount_received - self.amount_refunded


@dataclass(frozen=True)
class Refund:
    """Money given back. `key` is ours: the refund it belongs to."""

    id: str
    amount: int
    currency: str
    status: str
    key: str | None

    @property
    def failed(self) -> bool:
        """The money came back to us: the customer does not have it."""
        return self.status in ("failed", "canceled")


@dataclass(frozen=True)
class StripeEvent:
    """Something happened to the object; what it is now is asked, not believed."""

    id: str
    type: str
    object_id: str
    created_at: datetime
