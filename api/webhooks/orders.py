"""`order-created`: the marketing site tells of a purchase."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Request

from api.auth import signatures
from api.bodies import SshKeys, Text, parsed
from api.callers import key_holder
from api.deps import ApiKey, CalledFrom, Entry, InProcess, PlatformRows
from api.limits import Kind, counted_as
from api.schemas import CamelModel, failures
from api.services import orders
from models.api_keys import Scope
from models.base import utc_now
from models.ordering import Line, OrderRequest, Placed, RepeatKey
from models.states import JobKind, JobStatus, ServiceStatus

router = APIRouter(tags=["webhooks"])


class ItemIn(CamelModel):
    code: Text
    type: Text | None = None
    ssh_keys: SshKeys = ()


class OrderCreatedIn(CamelModel):
    source: Text
    customer_email: str
    items: list[ItemIn]
    stripe_customer_id: str | None = None
    order_id: Text | int | None = None
    stripe_checkout_session_id: str | None = None
    stripe_payment_intent_id: str | None = None
    domain: str | None = None

    def request(self) -> OrderRequest:
        """The order in our words."""
        return OrderRequest(
            source=self.source,
            email=self.customer_email,
            lines=tuple(Line(one.code, one.type, one.ssh_keys) for one in self.items),
            stripe_customer_id=self.stripe_customer_id,
            stripe_payment_intent_id=self.stripe_payment_intent_id,
            stripe_checkout_session_id=self.stripe_checkout_session_id,
            domain=self.domain,
        )


class SubscriptionOut(CamelModel):
    id: UUID
    product_id: UUID
    status: ServiceStatus = ServiceStatus.PENDING


class TaskOut(CamelModel):
    id: UUID
    type: JobKind
    status: JobStatus = JobStatus.PENDING


class OrderReceivedOut(CamelModel):
    """As it was when the order was accepted, also for a repeat of it."""

    received: bool = True
    customer_id: UUID
    subscriptions: list[SubscriptionOut]
    tasks: list[TaskOut]
    order_id: UUID
    job_id: UUID
    deduplicated: bool

    @classmethod
    def of(cls, placed: Placed) -> "OrderReceivedOut":
        """Subscriptions and tasks in the order of the items."""
        return cls(
            customer_id=placed.customer_id,
            subscriptions=[
                SubscriptionOut(id=line.subscription_id, product_id=line.product_id)
                for line in placed.lines
            ],
            tasks=[TaskOut(id=line.job_id, type=line.kind) for line in placed.lines],
            order_id=placed.order_id,
            job_id=placed.job_id,
            deduplicated=placed.repeated,
        )


_EXAMPLE = {
    "source": "migrahosting.com",
    "stripeCustomerId": "cus_123",
    "customerEmail": "client@example.com",
    "items": [
        {"code": "wp_growth", "type": "hosting"},
        {"code": "daily_backups_30d", "type": "addon"},
    ],
}


@router.post(
    "/provisioning/webhooks/order-created",
    status_code=202,
    responses=failures(400, 401, 403, 413),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"type": "object"}, "example": _EXAMPLE}
            },
        }
    },
)
@counted_as(Kind.WEBHOOK)
async def order_created(
    request: Request,
    session: PlatformRows,
    parts: InProcess,
    origin: CalledFrom,
    api_key: ApiKey,
    entered: Entry,
    idempotency_key: Annotated[str | None, Header(max_length=255)] = None,
) -> OrderReceivedOut:
    """Accept an order. What it buys is delivered once its payment is proven.

    Sent with an `X-API-Key` of scope `orders:write`, or signed: with
    `X-Webhook-Signature: sha256=<hex HMAC-SHA256 of the body>`, or with the Standard
    Webhooks headers. Repeats are known by the first present of webhook-id,
    Idempotency-Key, orderId, stripeCheckoutSessionId, stripePaymentIntentId.
    """
    raw = await request.body()
    settings = parts.settings
    secret = settings.order_webhook_secret.get_secret_value()
    async with parts.refusals.of("order-created", origin.network):
        if api_key is not None:
            holder = await key_holder(request, entered)
            holder.prove_scope(Scope.ORDERS_WRITE)
        event_id = signatures.check_order(
            secret, request.headers, raw, now=utc_now(), needed=api_key is None
        )
    body = parsed(OrderCreatedIn, raw)
    order = body.request()
    key = RepeatKey.first_of(
        order,
        event_id=event_id,
        idempotency_key=idempotency_key,
        order_id=None if body.order_id is None else str(body.order_id),
    )
    placed = await orders.place(
        session, order, key=key, platform_domain=settings.platform_domain
    )
    return OrderReceivedOut.of(placed)
