"""Payments that nobody claimed: an operator makes the order, or the refund."""

from uuid import UUID

from fastapi import APIRouter

from api.bodies import SshKeys, Text
from api.deps import Platform, Rows, Settings, Temporal
from api.idempotency import Repeatable
from api.schemas import (
    ACTS,
    SIGNED_IN,
    CamelModel,
    Id,
    Page,
    Paged,
    Timestamp,
)
from api.services import payments
from models.money import to_number
from models.ordering import Line, Placed
from models.payments import UnclaimedPayment
from models.queries.payments import unclaimed
from models.states import JobStatus, UnclaimedStatus

router = APIRouter(
    prefix="/payments/unclaimed", tags=["payments"], route_class=Repeatable
)


class UnclaimedOut(CamelModel):
    id: UUID
    stripe_payment_intent_id: str
    stripe_customer_id: str | None
    amount: float
    currency: str
    paid_at: Timestamp
    note: str
    status: UnclaimedStatus
    order_id: UUID | None

    @classmethod
    def of(cls, payment: UnclaimedPayment) -> "UnclaimedOut":
        """The row, its amount as the documents write money."""
        return cls(
            id=payment.id,
            stripe_payment_intent_id=payment.stripe_payment_intent_id,
            stripe_customer_id=payment.stripe_customer_id,
            amount=to_number(payment.amount),
            currency=payment.currency.upper(),
            paid_at=payment.paid_at,
            note=payment.note,
            status=UnclaimedStatus(payment.status),
            order_id=payment.order_id,
        )


class ItemIn(CamelModel):
    code: Text
    type: Text | None = None
    ssh_keys: SshKeys = ()


class OrderIn(CamelModel):
    customer_email: str
    items: list[ItemIn]


class OrderOut(CamelModel):
    order_id: UUID
    customer_id: UUID
    job_id: UUID
    status: JobStatus = JobStatus.PENDING

    @classmethod
    def of(cls, placed: Placed) -> "OrderOut":
        """The accepted order and the job that fulfils it."""
        return cls(
            order_id=placed.order_id,
            customer_id=placed.customer_id,
            job_id=placed.job_id,
        )


class RefundIn(CamelModel):
    reason: Text


@router.get("", responses=SIGNED_IN)
async def list_unclaimed(
    _: Platform,
    session: Rows,
    paging: Paged,
) -> Page[UnclaimedOut]:
    """Payments that wait for a decision, the oldest first."""
    found = await unclaimed(session, paging.window, status=UnclaimedStatus.LISTED)
    return Page[UnclaimedOut](
        items=[UnclaimedOut.of(one) for one in found.items], total=found.total
    )


@router.post("/{id}/order", status_code=202, responses=ACTS)
async def order(
    payment_id: Id,
    body: OrderIn,
    actor: Platform,
    session: Rows,
    temporal: Temporal,
    settings: Settings,
) -> OrderOut:
    """Make the order that this payment was for. It must come to what was paid."""
    placed = await payments.order_for(
        session,
        temporal,
        actor,
        payment_id,
        email=body.customer_email,
        lines=tuple(Line(item.code, item.type, item.ssh_keys) for item in body.items),
        platform_domain=settings.platform_domain,
    )
    return OrderOut.of(placed)


@router.post("/{id}/refund", status_code=202, responses=ACTS)
async def refund(
    payment_id: Id, body: RefundIn, actor: Platform, session: Rows
) -> UnclaimedOut:
    """Have the whole payment refunded."""
    return UnclaimedOut.of(
        await payments.refund(session, actor, payment_id, reason=body.reason)
    )
