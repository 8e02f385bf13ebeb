"""Mails that came back, as the mail server hands them in."""

from fastapi import APIRouter, Request
from pydantic import SecretStr

from api.auth import signatures
from api.deps import CalledFrom, InProcess, PlatformRows
from api.limits import Kind, counted_as
from api.schemas import CamelModel, failures
from api.services import mails
from models.base import utc_now
from models.errors import Unauthenticated

router = APIRouter(tags=["webhooks"])


class BounceOut(CamelModel):
    """`recorded` is false for what tells of no final failure, and for a repeat."""

    recorded: bool


@router.post(
    "/mail/bounces",
    responses=failures(401, 413),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"message/rfc822": {"schema": {"type": "string"}}},
        }
    },
)
@counted_as(Kind.WEBHOOK)
async def bounce(
    request: Request, session: PlatformRows, parts: InProcess, origin: CalledFrom
) -> BounceOut:
    """Take a mail that came to `bounces+...@`, whole and as it is.

    Signed as orders are, with a secret of its own. A delivery status notification of a
    final failure is noted on the mail it is about; anything else is let go.
    """
    raw = await request.body()
    async with parts.refusals.of("bounces", origin.network):
        _check(parts.settings.bounce_webhook_secret, request, raw)
    return BounceOut(recorded=await mails.keep_bounce(session, raw))


def _check(secret: SecretStr | None, request: Request, raw: bytes) -> None:
    if secret is None:
        raise Unauthenticated("MPANEL_BOUNCE_WEBHOOK_SECRET is not set")
    shared = secret.get_secret_value()
    signatures.check_order(shared, request.headers, raw, now=utc_now())
