"""Codes of an authenticator app (RFC 6238), and those for when it is lost."""

import base64
import hashlib
import hmac
import re
import secrets
from datetime import datetime
from typing import Final

import pyotp

ISSUER: Final = "mPanel"
RECOVERY_CODES: Final = 10

_STEP: Final = 30
# A clock may be off by one interval, to either side.
_DRIFT: Final = (-1, 0, 1)
_SPACE = re.compile(r"[\s-]")


def new_secret() -> str:
    """160 random bits, in base32, as apps read it."""
    return pyotp.random_base32()


def provisioning_uri(secret: str, *, account: str) -> str:
    """What a QR code for the app holds."""
    return pyotp.TOTP(secret).provisioning_uri(name=account, issuer_name=ISSUER)


def looks_like_totp(code: str) -> bool:
    """Six digits; anything else can only be a recovery code."""
    bare = _SPACE.sub("", code)
    return len(bare) == 6 and bare.isascii() and bare.isdigit()


def matching_step(secret: str, code: str, *, after: int, now: datetime) -> int | None:
    """The interval of 30 s that the code belongs to, if it is newer than `after`."""
    bare, app = _SPACE.sub("", code), pyotp.TOTP(secret, interval=_STEP)
    current = int(now.timestamp()) // _STEP
    # All are compared, so that the time does not tell which of them fitted.
    fitting = [
        step
        for step in (current + drift for drift in _DRIFT)
        if hmac.compare_digest(app.at(step * _STEP), bare) and step > after
    ]
    return max(fitting, default=None)


def new_recovery_codes() -> list[str]:
    """Ten of 120 random bits: `abcd-efgh-ijkl-mnop-qrst-uvwx`."""
    return [_grouped(secrets.token_bytes(15)) for _ in range(RECOVERY_CODES)]


def recovery_hash(code: str) -> str:
    """Under which it is stored. Not salted: nobody guesses 120 bits."""
    bare = _SPACE.sub("", code).lower()
    return hashlib.sha256(bare.encode()).hexdigest()


def _grouped(raw: bytes) -> str:
    text = base64.b32encode(raw).decode().lower()
    return "-".join(text[at : at + 4] for at in range(0, len(text), 4))
