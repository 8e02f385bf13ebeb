"""The operators' webhook: signed events, by Standard Webhooks 1.0.

Their address is a setting, not what a customer typed; still no redirect is followed.
"""

import base64
import hashlib
import hmac
import json
from typing import Final
from uuid import UUID, uuid5

import httpx

from activities.providers.http import retry_after
from models.base import utc_now
from models.database import Database
from models.outbox import OutboxMessage
from models.queries import alerts, outbox
from models.queries.alerts import Finding
from models.tenants import MIGRAHOSTING

DISABLED: Final = "webhook_disabled"
_ANSWERS_WITHIN = 15.0


class EndpointRefused(Exception):
    """It did not answer 2xx. `retry_after` in seconds, if it asked for a rest."""

    def __init__(self, status: int, retry_after: float | None) -> None:
        super().__init__(f"the webhook answered {status}")
        self.status, self.retry_after = status, retry_after


class EndpointGone(EndpointRefused):
    """410: nobody wants to be told there any more."""


class OperatorHook:
    """It is off while an alert says so; resolving the alert turns it on again."""

    def __init__(self, db: Database, *, url: str | None, secret: str | None) -> None:
        self._db, self._url, self._secret = db, url, secret or ""
        self._http = httpx.AsyncClient(
            timeout=_ANSWERS_WITHIN, follow_redirects=False, trust_env=False
        )

    @property
    def subject_id(self) -> UUID:
        """Of alerts about this endpoint."""
        return uuid5(MIGRAHOSTING, f"webhook:{self._url}")

    async def open(self) -> bool:
        """False while the endpoint is disabled."""
        if self._url is None:
            return True
        async with self._db.looking() as session:
            return not await alerts.stands(session, DISABLED, self.subject_id)

    async def send(self, message: OutboxMessage) -> str | None:
        """One signed POST. Raises `EndpointRefused`, `EndpointGone`, httpx's errors."""
        if self._url is None:
            return "no operator webhook is configured"
        body = json.dumps(
            {
                "type": message.template,
                "timestamp": message.created_at.isoformat(),
                "data": message.facts,
            }
        ).encode()
        signed = signature_headers(
            str(message.id), int(utc_now().timestamp()), body, self._secret
        )
        # Only its status counts: a body without end is not read.
        async with self._http.stream(
            "POST",
            self._url,
            content=body,
            headers={"Content-Type": "application/json", **signed},
        ) as answer:
            if answer.is_success:
                return None
            kind = EndpointGone if answer.status_code == 410 else EndpointRefused
            raise kind(
                answer.status_code, retry_after(answer.headers.get("retry-after"))
            )

    async def failed_for_good(self, message: OutboxMessage, error: Exception) -> bool:
        """Turns the endpoint off if nothing has arrived there for as long as this."""
        async with self._db.platform() as session:
            gone = isinstance(error, EndpointGone)
            if not gone and await outbox.heard_since(
                session, "webhook", message.created_at
            ):
                return False
            why = "it answers 410" if gone else f"nothing arrives there: {error}"
            await alerts.raise_alert(session, DISABLED, self._disabled(why))
            await session.commit()
        return True

    def _disabled(self, why: str) -> Finding:
        return Finding(
            tenant_id=MIGRAHOSTING,
            subject_id=self.subject_id,
            message=f"the operators' webhook is turned off, since {why}. What it misses"
            " is kept. Set it right, then resolve this alert to turn it on",
        )

    async def aclose(self) -> None:
        """Closes the client."""
        await self._http.aclose()


def key_of(secret: str) -> bytes:
    """Raises ValueError for a `whsec_` that is not followed by base64."""
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if not key:
        raise ValueError("its secret is no base64 after whsec_")
    return key


def signature_headers(
    message_id: str, timestamp: int, body: bytes, secret: str
) -> dict[str, str]:
    """The three headers of Standard Webhooks 1.0, and the plain one over the body."""
    key = key_of(secret)
    signed = f"{message_id}.{timestamp}.".encode() + body
    digest = base64.b64encode(hmac.digest(key, signed, hashlib.sha256))
    plain = hmac.digest(secret.encode(), body, hashlib.sha256)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{digest.decode()}",
        "X-Webhook-Signature": f"sha256={plain.hex()}",
    }
