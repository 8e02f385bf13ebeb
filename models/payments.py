"""Claims, refunds, and payments that nobody claimed: the books of the money identity.

what succeeded at Stripe = claimed by exactly one order or invoice
                         + refunded + listed
"""

from datetime import datetime
from uuid import UUID

from sqlmodel import Field

from models.base import Row, TenantRow, moment, word
from models.money import Cents
from models.states import RefundStatus, UnclaimedStatus


class PaymentClaim(TenantRow, table=True):
    """Payment and order are unique: one payment proves one order, and vice versa."""

    __tablename__ = "payment_claims"

    stripe_payment_intent_id: str = Field(unique=True)
    # As it stands on the customer's statement and in Stripe's letters.
    stripe_charge_id: str | None = Field(default=None, index=True)
    order_id: UUID = Field(foreign_key="orders.id", unique=True)
    amount: Cents
    currency: str


class PaymentRefund(TenantRow, table=True):
    """Written `intended` before Stripe is asked; `key` is the idempotency key there.

    One per line and one for the rest of an order, so a line is refunded exactly once.
    """

    __tablename__ = "payment_refunds"

    key: str = Field(unique=True)
    order_id: UUID | None = Field(default=None, index=True)
    order_item_id: UUID | None = Field(default=None, unique=True)
    stripe_payment_intent_id: str = Field(index=True)
    amount: Cents
    currency: str
    status: RefundStatus = word(default=RefundStatus.INTENDED)
    stripe_refund_id: str | None = Field(default=None, index=True)


class UnclaimedPayment(Row, table=True):
    """Succeeded at Stripe, claimed by no order or invoice for 15 minutes."""

    __tablename__ = "unclaimed_payments"

    stripe_payment_intent_id: str = Field(unique=True)
    stripe_customer_id: str | None = Field(default=None, index=True)
    amount: Cents
    currency: str
    paid_at: datetime = moment()
    note: str = ""
    status: UnclaimedStatus = word(default=UnclaimedStatus.LISTED, index=True)
    order_id: UUID | None = None
    decided_by: UUID | None = None
