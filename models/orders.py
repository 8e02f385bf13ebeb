"""An order, its lines, and the keys under which it is known to whoever repeats it."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import UniqueConstraint
from sqlmodel import Field

from models.base import TenantRow, document, moment, moved, word
from models.money import Cents
from models.states import ORDER_MOVES, OrderStatus, RepeatStatus


class Order(TenantRow, table=True):
    __tablename__ = "orders"

    customer_id: UUID = Field(foreign_key="customers.id", index=True)
    source: str
    status: OrderStatus = word(default=OrderStatus.AWAITING_PAYMENT, index=True)
    total: Cents
    currency: str
    stripe_customer_id: str | None = Field(default=None, index=True)
    # What the caller said paid for it; a hint where to look, never a proof.
    stripe_payment_intent_id: str | None = Field(default=None, index=True)
    stripe_checkout_session_id: str | None = Field(default=None, index=True)
    completed_at: datetime | None = moment(default=None)

    def _move(self, to: OrderStatus) -> None:
        self.status = moved("The order", OrderStatus(self.status), to, ORDER_MOVES)

    def mark_paid(self) -> None:
        """The payment is claimed; a repeat of the step after that changes nothing."""
        if self.status in (OrderStatus.AWAITING_PAYMENT, OrderStatus.EXPIRED):
            self._move(OrderStatus.FULFILLING)

    def settle(self, *, delivered: int, undone: int, now: datetime) -> None:
        """What the order became, from how many lines live and how many were undone."""
        if delivered and undone:
            self._move(OrderStatus.PARTIALLY_FULFILLED)
        else:
            self._move(OrderStatus.COMPLETED if delivered else OrderStatus.FAILED)
        self.completed_at = self.completed_at or now

    def cancel(self) -> None:
        self._move(OrderStatus.CANCELLED)

    def expire(self) -> None:
        self._move(OrderStatus.EXPIRED)

    def revive(self) -> None:
        self._move(OrderStatus.AWAITING_PAYMENT)


class OrderItem(TenantRow, table=True):
    """One line. `job_id` delivers it; `needs_item_id` must be live before it starts."""

    __tablename__ = "order_items"

    order_id: UUID = Field(foreign_key="orders.id", index=True)
    position: int
    product_id: UUID = Field(foreign_key="products.id")
    code: str
    billing_cycle: str
    amount: Cents
    subscription_id: UUID | None = None
    job_id: UUID | None = Field(default=None, index=True)
    needs_item_id: UUID | None = None


class OrderKey(TenantRow, table=True):
    """Unique: whoever comes first makes the order, everybody else reads it."""

    __tablename__ = "order_keys"
    __table_args__ = (UniqueConstraint("tenant_id", "key"),)

    key: str
    body_hash: str
    order_id: UUID = Field(index=True)
    expires_at: datetime | None = moment(default=None)


class OrderRepeat(TenantRow, table=True):
    """A body that came again without a key: maybe a repeat, maybe a second purchase.

    If Stripe holds one more payment that fits, it becomes an order of its own.
    """

    __tablename__ = "order_repeats"

    first_order_id: UUID = Field(index=True)
    request: dict[str, Any] = document()
    status: RepeatStatus = word(default=RepeatStatus.HELD, index=True)
    order_id: UUID | None = None
