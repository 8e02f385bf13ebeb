"""Sends what the outbox holds: mail by SMTP, events as signed webhooks.

At least once: a message keeps its id over every try, so a receiver can tell.
"""

import base64
import hashlib
import hmac
import json
import random
from datetime import timedelta
from typing import Any, Protocol
from uuid import UUID

import httpx
import structlog
from sqlmodel import col, select

from activities.errors import ProviderError, ProviderRejected, redacted
from activities.outbox import OPERATOR
from models.base import utc_now
from models.database import Database, Session
from models.jobs import Job
from models.orders import OrderItem
from models.outbox import OutboxMessage
from models.products import Product
from models.states import JobStatus, OutboxStatus
from models.websites import Website
from workers.letters import letter

_log = structlog.get_logger(__name__)
# Seconds before the next try; after the last one the message is given up.
_SCHEDULE = (5, 30, 120, 600, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
_ROUND = 50


class PostOffice(Protocol):
    async def send(
        self,
        *,
        to: str,
        subject: str,
        text: str,
        html: str | None = None,
        message_id: str,
    ) -> None: ...


class Relay:
    """`operator`: (mail address, webhook URL or None, webhook secret or None)."""

    def __init__(
        self,
        db: Database,
        mailer: PostOffice,
        *,
        operator: tuple[str, str | None, str | None],
        public_url: str,
        domain: str,
    ) -> None:
        self._db, self._mailer = db, mailer
        self._mail_to, self._hook_url, self._hook_secret = operator
        self._public_url, self._domain = public_url.rstrip("/"), domain
        self._http = httpx.AsyncClient(
            timeout=15, follow_redirects=False, trust_env=False
        )

    async def round(self, channel: str) -> None:
        """Sends what is due on `mail` or `webhook`, one transaction per message.

        Each has a loop of its own: an endpoint that hangs delays no mail.
        """
        for _ in range(_ROUND):
            if not await self._one(channel):
                return

    async def _one(self, channel: str) -> bool:
        async with self._db.platform() as session:
            message = (
                await session.exec(
                    select(OutboxMessage)
                    .where(
                        OutboxMessage.status == OutboxStatus.QUEUED,
                        OutboxMessage.channel == channel,
                        OutboxMessage.next_at <= utc_now(),
                    )
                    .order_by(col(OutboxMessage.next_at))
                    .limit(1)
                    .with_for_update(skip_locked=True)
                )
            ).one_or_none()
            if message is None:
                return False
            try:
                message.last_error = await self._send(session, message)
            except Exception as error:  # noqa: BLE001 - kept in the row, tried again
                self._put_off(message, error)
            else:
                message.status, message.sent_at = OutboxStatus.SENT, utc_now()
            message.attempts += 1
            await session.commit()
        return True

    def _put_off(self, message: OutboxMessage, error: Exception) -> None:
        message.last_error = redacted(str(error) or type(error).__name__)
        over = message.attempts >= len(_SCHEDULE)
        refused = isinstance(error, ProviderRejected | KeyError)
        if over or refused:
            message.status = OutboxStatus.FAILED
            _log.warning("message_given_up", id=str(message.id))
            return
        wait = _SCHEDULE[message.attempts] * random.uniform(0.8, 1.2)  # noqa: S311
        if isinstance(error, ProviderError) and message.attempts < 3:
            wait = min(wait, 5.0)
        message.next_at = utc_now() + timedelta(seconds=wait)

    async def _send(self, session: Session, message: OutboxMessage) -> str | None:
        if message.channel == "mail":
            facts = {"public_url": self._public_url} | message.facts
            if "order_id" in facts:
                facts |= await _order_facts(session, UUID(facts["order_id"]))
            subject, text = letter(message.template, facts)
            to = self._mail_to if message.recipient == OPERATOR else message.recipient
            await self._mailer.send(
                to=to,
                subject=subject,
                text=text,
                message_id=f"<{message.id}@{self._domain}>",
            )
            return None
        if self._hook_url is None:
            return "no operator webhook is configured"
        await self._post(message, self._hook_url)
        return None

    async def _post(self, message: OutboxMessage, url: str) -> None:
        body = json.dumps(
            {
                "type": message.template,
                "timestamp": message.created_at.isoformat(),
                "data": message.facts,
            }
        ).encode()
        answer = await self._http.post(
            url,
            content=body,
            headers={"Content-Type": "application/json"}
            | signature_headers(
                str(message.id),
                int(utc_now().timestamp()),
                body,
                self._hook_secret or "",
            ),
        )
        if not answer.is_success:
            raise ConnectionError(f"the webhook answered {answer.status_code}")

    async def aclose(self) -> None:
        """Closes the webhook client."""
        await self._http.aclose()


def signature_headers(
    message_id: str, timestamp: int, body: bytes, secret: str
) -> dict[str, str]:
    """The three headers of Standard Webhooks 1.0."""
    key = (
        base64.b64decode(secret.removeprefix("whsec_"))
        if secret.startswith("whsec_")
        else secret.encode()
    )
    signed = f"{message_id}.{timestamp}.".encode() + body
    digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{digest.decode()}",
    }


async def _order_facts(session: Session, order_id: UUID) -> dict[str, Any]:
    rows = await session.exec(
        select(Product.name, Job.subject_id)
        .select_from(OrderItem)
        .join(Product, col(Product.id) == OrderItem.product_id)
        .join(Job, col(Job.id) == OrderItem.job_id)
        .where(OrderItem.order_id == order_id, Job.status == JobStatus.SUCCEEDED)
        .order_by(col(OrderItem.position))
    )
    lines = []
    for name, subject_id in rows.all():
        website = await session.get(Website, subject_id)
        lines.append(f"{name}: http://{website.domain}/" if website else str(name))
    return {
        "short": str(order_id)[:8],
        "things": ", ".join(line.partition(":")[0] for line in lines),
        "list": "\n".join(f"  * {line}" for line in lines),
    }
