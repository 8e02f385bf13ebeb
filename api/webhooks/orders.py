"""`order-created`: the marketing site tells of a purchase."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Request, Response

from api.auth import signatures
from api.auth.origin import network_of
from api.bodies import SshKeys, Text, parsed
from api.callers import KEY_HEADER, enter, key_holder
from api.deps import ApiKey
from api.idempotency import HEADER
from api.limits import Kind, counted_as
from api.parts import address_of, parts_of
from api.quick import Quick, as_json
from api.schemas import CamelModel, failures
from api.services import orders
from models.api_keys import Scope
from models.base import utc_now
from models.errors import Invalid
from models.ordering import Line, OrderRequest, Placed, RepeatKey
from models.queries.entries import Entered
from models.states import JobKind, JobStatus, ServiceStatus

router = APIRouter(tags=["webhooks"], route_class=Quick)

_LONGEST: Final = 255


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
        return cls.model_validate(
            {
                "customer_id": placed.customer_id,
                "subscriptions": [
                    {"id": line.subscription_id, "product_id": line.product_id}
                    for line in placed.lines
                ],
                "tasks": [
                    {"id": line.job_id, "type": line.kind} for line in placed.lines
                ],
                "order_id": placed.order_id,
                "job_id": placed.job_id,
                "deduplicated": placed.repeated,
            }
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


async def _asked(
    api_key: ApiKey,
    idempotency_key: Annotated[str | None, Header(max_length=_LONGEST)] = None,
) -> None:
    """What `order_created` asks for."""


@router.post(
    "/provisioning/webhooks/order-created",
    status_code=202,
    response_model=OrderReceivedOut,
    responses=failures(400, 401, 403, 413),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"type": "object"}, "example": _EXAMPLE}
            },
        }
    },
    dependencies=[Depends(_asked)],
)
@counted_as(Kind.WEBHOOK)
async def order_created(request: Request) -> Response:
    """Accept an order. What it buys is delivered once its payment is proven.

    Sent with an `X-API-Key` of scope `orders:write`, or signed: with
    `X-Webhook-Signature: sha256=<hex HMAC-SHA256 of the body>`, or with the Standard
    Webhooks headers. Repeats are known by the first present of webhook-id,
    Idempotency-Key, orderId, stripeCheckoutSessionId, stripePaymentIntentId.
    """
    entered, raw = await enter(request), await request.body()
    event_id = await _sender(request, entered, raw)
    key = request.headers.get("idempotency-key")
    if key is not None and len(key) > _LONGEST:
        raise Invalid(HEADER, f"want at most {_LONGEST} characters")
    body = parsed(OrderCreatedIn, raw)
    order, parts = body.request(), parts_of(request)
    placed = await orders.place(
        parts.durable.rows,
        order,
        key=RepeatKey.first_of(
            order,
            event_id=event_id,
            idempotency_key=key,
            order_id=None if body.order_id is None else str(body.order_id),
        ),
        platform_domain=parts.settings.platform_domain,
    )
    return as_json(OrderReceivedOut.of(placed), 202)


async def _sender(request: Request, entered: Entered, raw: bytes) -> str | None:
    """The id of the event, if its sender gave one. Raises `Unauthenticated`, and
    `Denied` for a key that may order nothing."""
    parts, by_key = parts_of(request), bool(request.headers.get(KEY_HEADER))
    secret = parts.settings.order_webhook_secret.get_secret_value()
    async with parts.refusals.of("order-created", network_of(address_of(request))):
        if by_key:
            holder = await key_holder(request, entered)
            holder.prove_scope(Scope.ORDERS_WRITE)
        return signatures.check_order(
            secret, request.headers, raw, now=utc_now(), needed=not by_key
        )
