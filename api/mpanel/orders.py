"""/api/orders."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import AfterValidator, Field, StringConstraints

from api.deps import Reader, Rows
from api.limits import Kind, counted_as
from api.mpanel.jobs import JobOut
from api.schemas import (
    ABOUT_ONE,
    SIGNED_IN,
    CamelModel,
    Id,
    Page,
    Paging,
    Timestamp,
)
from models.money import to_number
from models.orders import OrderItem
from models.queries import order_search, order_views
from models.queries.order_search import Found, Wanted
from models.queries.order_views import OrderView
from models.states import OrderStatus, RefundStatus

router = APIRouter(prefix="/orders", tags=["orders"])

Search = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=3, max_length=255)
]
Word = Literal[
    "pending", "processing", "completed", "partially_fulfilled", "failed", "cancelled"
]
WORDS: Final[Mapping[OrderStatus, Word]] = {
    OrderStatus.AWAITING_PAYMENT: "pending",
    OrderStatus.FULFILLING: "processing",
    OrderStatus.COMPLETED: "completed",
    OrderStatus.PARTIALLY_FULFILLED: "partially_fulfilled",
    OrderStatus.FAILED: "failed",
    OrderStatus.CANCELLED: "cancelled",
    OrderStatus.EXPIRED: "cancelled",
}


class AddonOut(CamelModel):
    id: UUID
    product_id: UUID
    code: str
    quantity: int = 1
    amount: float
    subscription_id: UUID | None
    job_id: UUID | None

    @classmethod
    def of(cls, item: OrderItem) -> "AddonOut":
        """A line that waits for another one."""
        return cls(
            id=item.id,
            product_id=item.product_id,
            code=item.code,
            amount=to_number(item.amount),
            subscription_id=item.subscription_id,
            job_id=item.job_id,
        )


class ItemOut(AddonOut):
    """A line, with the lines that need it."""

    billing_cycle: str
    addons: list[AddonOut]


class PaymentOut(CamelModel):
    """The payment that proves the order; no other order can claim it."""

    stripe_payment_intent_id: str
    amount: float
    currency: str
    claimed_at: Timestamp


class RefundOut(CamelModel):
    """`orderItemId` is null for what was left of the order."""

    id: UUID
    order_item_id: UUID | None
    amount: float
    currency: str
    status: RefundStatus
    stripe_refund_id: str | None
    created_at: Timestamp


class OrderOut(CamelModel):
    """`status` is the contract's word, `state` ours."""

    id: UUID
    tenant_id: UUID
    customer_id: UUID
    source: str
    status: Word
    state: OrderStatus
    items: list[ItemOut]
    coupon_code: str = ""
    total: float
    currency: str
    # No mail reaches its customer.
    mail_undeliverable: bool
    paid_by: PaymentOut | None
    refunds: list[RefundOut]
    jobs: list[JobOut]
    created_at: Timestamp
    completed_at: Timestamp | None

    @classmethod
    def of(cls, view: OrderView) -> "OrderOut":
        """The order with all that hangs on it."""
        order = view.order
        return cls(
            id=order.id,
            tenant_id=order.tenant_id,
            customer_id=order.customer_id,
            source=order.source,
            status=WORDS[OrderStatus(order.status)],
            state=OrderStatus(order.status),
            items=_items(view),
            total=to_number(order.total),
            currency=order.currency.upper(),
            mail_undeliverable=view.customer.mail_undeliverable,
            paid_by=_payment(view),
            refunds=_refunds(view),
            jobs=[JobOut.of(job) for job in view.jobs],
            created_at=order.created_at,
            completed_at=order.completed_at,
        )


def _items(view: OrderView) -> list[ItemOut]:
    return [
        ItemOut(
            **AddonOut.of(item).model_dump(),
            billing_cycle=item.billing_cycle,
            addons=[
                AddonOut.of(addon)
                for addon in view.items
                if addon.needs_item_id == item.id
            ],
        )
        for item in view.items
        if item.needs_item_id is None
    ]


def _payment(view: OrderView) -> PaymentOut | None:
    claim = view.claim
    if claim is None:
        return None
    return PaymentOut(
        stripe_payment_intent_id=claim.stripe_payment_intent_id,
        amount=to_number(claim.amount),
        currency=claim.currency.upper(),
        claimed_at=claim.created_at,
    )


def _refunds(view: OrderView) -> list[RefundOut]:
    return [
        RefundOut(
            id=refund.id,
            order_item_id=refund.order_item_id,
            amount=to_number(refund.amount),
            currency=refund.currency.upper(),
            status=RefundStatus(refund.status),
            stripe_refund_id=refund.stripe_refund_id,
            created_at=refund.created_at,
        )
        for refund in view.refunds
    ]


class OrderRow(CamelModel):
    """An order in the list; `email` is its customer's."""

    id: UUID
    tenant_id: UUID
    customer_id: UUID
    email: str
    source: str
    status: Word
    state: OrderStatus
    total: float
    currency: str
    created_at: Timestamp
    completed_at: Timestamp | None

    @classmethod
    def of(cls, found: Found) -> "OrderRow":
        """In the words of the contract."""
        order, status = found.order, OrderStatus(found.order.status)
        return cls(
            id=order.id,
            tenant_id=order.tenant_id,
            customer_id=order.customer_id,
            email=found.email,
            source=order.source,
            status=WORDS[status],
            state=status,
            total=to_number(order.total),
            currency=order.currency.upper(),
            created_at=order.created_at,
            completed_at=order.completed_at,
        )


def _with_zone(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


# A date alone is its first moment; without a zone it is UTC.
Moment = Annotated[datetime, AfterValidator(_with_zone)]


class OrderPaging(Paging):
    """`search`: how an order id, an e-mail address or a domain begins, or a whole id
    of Stripe's. `createdTo` is excluded."""

    search: Search | None = None
    status: Word | None = None
    customer_id: UUID | None = None
    source: str | None = Field(default=None, max_length=255)
    created_from: Moment | None = None
    created_to: Moment | None = None

    @property
    def wanted(self) -> Wanted:
        """In our words."""
        return Wanted(
            search=self.search,
            statuses=[state for state, word in WORDS.items() if word == self.status],
            customer_id=self.customer_id,
            source=self.source,
            since=self.created_from,
            until=self.created_to,
        )


@router.get("", responses=SIGNED_IN)
async def list_orders(
    query: Annotated[OrderPaging, Query()], _: Reader, rows: Rows
) -> Page[OrderRow]:
    """Orders, newest first."""
    found = await order_search.find(rows, query.window, query.wanted)
    return Page[OrderRow](
        items=[OrderRow.of(each) for each in found.items], total=found.total
    )


@router.get("/{id}", responses=ABOUT_ONE)
@counted_as(Kind.POLL)
async def get_order(order_id: Id, _: Reader, rows: Rows) -> OrderOut:
    """One order: its lines, what paid for it, what was refunded, its jobs."""
    return OrderOut.of(await order_views.get(rows, order_id))
