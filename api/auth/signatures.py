"""Who signed a webhook: always over the exact bytes, always compared in constant time.

Two schemes are known for orders, with one shared secret. `X-Webhook-Signature` signs
the body alone; Standard Webhooks sign an id and a time with it, so a replay shows.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from stripe import SignatureVerificationError, WebhookSignature

from models.errors import Unauthenticated

TOLERANCE: Final = 300
_WHSEC: Final = "whsec_"
_SECONDS: Final = re.compile(r"[0-9]{1,12}")


def check_order(
    secret: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: datetime,
    needed: bool = True,
) -> str | None:
    """The Standard Webhooks id, if that scheme signed it; None for the plain one.

    Whichever signature is sent must hold; one is, if it is `needed`. Raises
    `Unauthenticated`.
    """
    plain = headers.get("x-webhook-signature")
    standard = headers.get("webhook-signature")
    if needed and plain is None and standard is None:
        raise Unauthenticated("the body is not signed: send X-Webhook-Signature")
    if plain is not None:
        expected = f"sha256={_digest(secret.encode(), body).hex()}"
        if not _equal(plain.strip(), expected):
            raise Unauthenticated("X-Webhook-Signature does not fit the body")
    if standard is None:
        return None
    return _check_standard(secret, headers, standard, body, now)


def check_stripe(secret: str, header: str | None, body: bytes) -> None:
    """That Stripe sent these bytes within the last five minutes.

    Raises `Unauthenticated`.
    """
    try:
        WebhookSignature.verify_header(body.decode(), header or "", secret, TOLERANCE)
    except (SignatureVerificationError, ValueError):
        raise Unauthenticated("Stripe-Signature does not fit the body") from None


def _check_standard(
    secret: str, headers: Mapping[str, str], sent: str, body: bytes, now: datetime
) -> str:
    message_id = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    if not message_id or not _SECONDS.fullmatch(timestamp):
        raise Unauthenticated("webhook-id or webhook-timestamp is missing or wrong")
    if abs(now.timestamp() - int(timestamp)) > TOLERANCE:
        raise Unauthenticated("webhook-timestamp is more than five minutes off")
    signed = f"{message_id}.{timestamp}.".encode("latin-1") + body
    digest = base64.b64encode(_digest(_standard_key(secret), signed)).decode()
    # All are compared, so that the time does not tell which of them fitted.
    fits = [_equal(one, f"v1,{digest}") for one in sent.split()]
    if not any(fits):
        raise Unauthenticated("webhook-signature does not fit the body")
    return message_id


def _standard_key(secret: str) -> bytes:
    """`whsec_<base64>` is the scheme's own form; any other secret is taken as it is."""
    if not secret.startswith(_WHSEC):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_WHSEC), validate=True)
    except binascii.Error:
        return secret.encode()


def _digest(key: bytes, content: bytes) -> bytes:
    return hmac.digest(key, content, hashlib.sha256)


def _equal(sent: str, expected: str) -> bool:
    return hmac.compare_digest(sent.encode(), expected.encode())
