"""Finding orders: by what a caller on the telephone can read out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, union
from sqlalchemy.orm import Mapped
from sqlmodel import col, or_, select

from models.customers import Customer
from models.database import Session
from models.orders import Order, OrderItem
from models.payments import PaymentClaim, PaymentRefund
from models.queries.slices import Slice, Window, page
from models.states import OrderStatus
from models.websites import Website

_LAST = chr(0x10FFFF)
_ZEROS, _EFFS = "0" * 32, "f" * 32


@dataclass(frozen=True)
class Wanted:
    """`search`: how an order id, an e-mail address or a domain begins, or a whole id
    of Stripe's. `until` is excluded."""

    search: str | None = None
    statuses: Sequence[OrderStatus] = ()
    customer_id: UUID | None = None
    source: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Found:
    """An order and who placed it."""

    order: Order
    email: str


async def find(session: Session, window: Window, wanted: Wanted) -> Slice[Found]:
    """Newest first."""
    query = select(Order).order_by(col(Order.created_at).desc(), col(Order.id))
    query = query.where(*_conditions(wanted))
    found = await page(session, query, window)
    buyers = select(Customer.id, Customer.email).where(
        col(Customer.id).in_({order.customer_id for order in found.items})
    )
    emails = dict((await session.exec(buyers)).all())
    told = [Found(order, emails[order.customer_id]) for order in found.items]
    return Slice(told, found.total)


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.search:
        conditions.append(col(Order.id).in_(_candidates(wanted.search)))
    if wanted.statuses:
        conditions.append(col(Order.status).in_(wanted.statuses))
    for column, value in (
        (col(Order.customer_id), wanted.customer_id),
        (col(Order.source), wanted.source),
    ):
        if value is not None:
            conditions.append(column == value)
    if wanted.since is not None:
        conditions.append(col(Order.created_at) >= wanted.since)
    if wanted.until is not None:
        conditions.append(col(Order.created_at) < wanted.until)
    return conditions


def _candidates(search: str) -> Select[Any]:
    """Ids of orders that fit, each kind of word by its own index."""
    small = search.lower()
    arms: list[Select[Any]] = [
        select(col(Order.id)).where(
            or_(
                col(Order.stripe_customer_id) == search,
                col(Order.stripe_payment_intent_id) == search,
                col(Order.stripe_checkout_session_id) == search,
            )
        ),
        select(col(PaymentClaim.order_id)).where(
            PaymentClaim.stripe_payment_intent_id == search
        ),
        select(col(PaymentRefund.order_id)).where(
            PaymentRefund.stripe_refund_id == search
        ),
        select(col(Order.id))
        .join(Customer, col(Customer.id) == col(Order.customer_id))
        .where(_begins(col(Customer.email), small)),
        select(col(OrderItem.order_id))
        .join(
            Website,
            col(Website.subscription_id) == col(OrderItem.subscription_id),
        )
        .where(_begins(col(Website.domain), small)),
    ]
    digits = small.replace("-", "")
    if 0 < len(digits) <= len(_ZEROS) and set(digits) <= set("0123456789abcdef"):
        first, last = digits + _ZEROS[len(digits) :], digits + _EFFS[len(digits) :]
        arms.append(
            select(col(Order.id)).where(
                col(Order.id) >= UUID(first), col(Order.id) <= UUID(last)
            )
        )
    return select(union(*arms).subquery().c[0])


def _begins(column: Mapped[str], text: str) -> ColumnElement[bool]:
    """By comparisons that an index serves below row-level security, as LIKE is not:
    it might leak what it compares."""
    first = column.bool_op("~>=~")(text)
    return first & column.bool_op("~<~")(text + _LAST)
