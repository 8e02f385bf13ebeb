"""Stripe tells that something happened. It is kept here; the worker looks it up."""

from fastapi import APIRouter, Request, Response
from pydantic import Field

from api.auth import signatures
from api.bodies import Text, parsed
from api.deps import CalledFrom, InProcess, PlatformRows
from api.limits import Kind, counted_as
from api.schemas import CamelModel, failures
from api.services import payments

router = APIRouter(tags=["webhooks"])


class ObjectIn(CamelModel):
    # A few kinds of objects (a balance) have no id.
    id: Text | None = None


class DataIn(CamelModel):
    object: ObjectIn


class EventIn(CamelModel):
    id: Text
    type: Text
    data: DataIn = Field(default=DataIn(object=ObjectIn()))


@router.post(
    "/payments/stripe/webhook",
    status_code=200,
    response_class=Response,
    responses=failures(400, 401, 413),
)
@counted_as(Kind.WEBHOOK)
async def stripe_event(
    request: Request, session: PlatformRows, parts: InProcess, origin: CalledFrom
) -> Response:
    """Keep a signed event of Stripe's, of any type, once. Answers with no body."""
    raw = await request.body()
    async with parts.refusals.of("stripe", origin.network):
        signatures.check_stripe(
            parts.settings.stripe_webhook_secret.get_secret_value(),
            request.headers.get("stripe-signature"),
            raw,
        )
    event = parsed(EventIn, raw)
    await payments.keep_event(
        session, event.id, type_=event.type, object_id=event.data.object.id or ""
    )
    return Response()
