"""Addresses that do not take mail: some say so at once, some send it back later.

A mail that is sent back is a delivery status notification (RFC 3464) to the envelope's
sender. There is no mailbox here: it is kept, and handed to `url`, signed.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import time
from email.message import EmailMessage, Message
from email.policy import SMTP
from typing import Any

import httpx

from simulators.store import Store

REFUSED, RETURNED = "refused", "returned"
_TRIES = 40


class Bounces:
    """`url`, `secret`: who takes the notifications, if anybody."""

    def __init__(self, store: Store, url: str | None, secret: str) -> None:
        self._store, self._url, self._secret = store, url, secret
        self._handing_in: set[asyncio.Task[None]] = set()

    @property
    def addresses(self) -> dict[str, str]:
        """What becomes of mail to each: `refused` or `returned`."""
        known: dict[str, str] = self._store.setting("bounces", {})
        return known

    def set(self, addresses: dict[str, str]) -> None:
        """Raises ValueError."""
        if not set(addresses.values()) <= {REFUSED, RETURNED}:
            raise ValueError("each address is refused or returned")
        self._store.set_setting("bounces", addresses)

    def kept(self) -> list[str]:
        """Every notification, oldest first."""
        return [str(one["raw"]) for one in self._store.each("notification")]

    def send_back(self, mail: dict[str, Any]) -> None:
        """For each of its recipients that returns mail."""
        for to in mail["to"]:
            if self.addresses.get(to) == RETURNED:
                raw = notification(mail, to)
                number = str(len(self._store.each("notification")) + 1)
                self._store.put("notification", number, {"raw": raw.decode()})
                task = asyncio.create_task(self._hand_in(f"dsn-{number}", raw))
                self._handing_in.add(task)
                task.add_done_callback(self._handing_in.discard)

    async def stop(self) -> None:
        """Hands in nothing more."""
        for task in self._handing_in:
            task.cancel()
        await asyncio.gather(*self._handing_in, return_exceptions=True)

    async def _hand_in(self, id: str, raw: bytes) -> None:
        if self._url is None:
            return
        async with httpx.AsyncClient(timeout=10, trust_env=False) as http:
            for _ in range(_TRIES):
                headers = signed(self._secret, id, raw)
                with contextlib.suppress(httpx.HTTPError):
                    answer = await http.post(self._url, content=raw, headers=headers)
                    if answer.is_success:
                        return
                await asyncio.sleep(0.5)


def signed(secret: str, id: str, raw: bytes) -> dict[str, str]:
    """The headers of Standard Webhooks, over a mail."""
    at = str(int(time.time()))
    digest = hmac.digest(secret.encode(), f"{id}.{at}.".encode() + raw, hashlib.sha256)
    return {
        "Content-Type": "message/rfc822",
        "webhook-id": id,
        "webhook-timestamp": at,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def notification(mail: dict[str, Any], to: str) -> bytes:
    """That this mail could not be delivered to `to`, as Postfix would word it."""
    made = EmailMessage()
    made["From"] = "MAILER-DAEMON@mail.invalid (Mail Delivery System)"
    made["To"] = mail["from"]
    made["Subject"] = "Undelivered Mail Returned to Sender"
    made["Auto-Submitted"] = "auto-replied"
    made.set_content(f"<{to}>: host mx.invalid said: 550 5.1.1 no such user\n")
    made.make_mixed()
    made.replace_header(
        "Content-Type",
        f'multipart/report; report-type=delivery-status; boundary="{_BOUNDARY}"',
    )
    status = EmailMessage()
    status["Content-Type"] = "message/delivery-status"
    status.set_payload([_block(_OF_MAIL), _block(_of_recipient(to))])
    made.attach(status)
    headers = EmailMessage()
    head = str(mail["raw"]).replace("\r\n", "\n").partition("\n\n")[0]
    headers.set_payload(f"{head}\n")
    headers["Content-Type"] = "text/rfc822-headers"
    made.attach(headers)
    return made.as_bytes(policy=SMTP)


_BOUNDARY = "the.parts.of.a.report"
_OF_MAIL = {"Reporting-MTA": "dns; mail.invalid"}


def _of_recipient(to: str) -> dict[str, str]:
    return {
        "Final-Recipient": f"rfc822; {to}",
        "Action": "failed",
        "Status": "5.1.1",
        "Diagnostic-Code": f"smtp; 550 5.1.1 <{to}>: no such user",
    }


def _block(fields: dict[str, str]) -> Message:
    block = Message()
    for name, value in fields.items():
        block[name] = value
    return block
