"""Tokens: signed ones for a quarter of an hour, random ones to renew them."""

import hashlib
import secrets
import time
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache, partial
from typing import Final
from uuid import UUID

import jwt

from models.base import utc_now
from models.errors import Unauthenticated

ACCESS_LIVES: Final = timedelta(minutes=15)

_ALGORITHM: Final = "HS256"
_ACCESS: Final = "at+jwt"
_COOKIE: Final = "console+jwt"
_NAME: Final = "mpanel"


@dataclass(frozen=True)
class Claims:
    """Ids and nothing else: what the user may do stands in the user's row."""

    user_id: UUID
    session_id: UUID


class Signer:
    """Signs and reads access tokens."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        # Whoever polls sends the same one again and again; only good ones are kept.
        self._verified = lru_cache(maxsize=4096)(partial(_verify, secret))

    def access(self, claims: Claims) -> str:
        """A token for the next quarter of an hour."""
        return self._signed(claims, _ACCESS, ACCESS_LIVES)

    def cookie(self, claims: Claims, lasts: timedelta) -> str:
        """What a browser holds of its login. It opens nothing but the console."""
        return self._signed(claims, _COOKIE, lasts)

    def read(self, token: str) -> Claims:
        """What the token says. Raises `Unauthenticated` if it is not good now."""
        return self._read(token, _ACCESS)

    def read_cookie(self, token: str) -> Claims:
        """As `read`, of a `cookie`."""
        return self._read(token, _COOKIE)

    def _signed(self, claims: Claims, kind: str, lasts: timedelta) -> str:
        now = utc_now()
        return jwt.encode(
            {
                "iss": _NAME,
                "aud": _NAME,
                "iat": now,
                "exp": now + lasts,
                "sub": str(claims.user_id),
                "sid": str(claims.session_id),
            },
            self._secret,
            algorithm=_ALGORITHM,
            headers={"typ": kind},
        )

    def _read(self, token: str, kind: str) -> Claims:
        claims, ends_at = self._verified(token, kind)
        if ends_at <= time.time():
            raise Unauthenticated("the token is not valid, or not any more")
        return claims


def _verify(secret: str, token: str, kind: str) -> tuple[Claims, float]:
    """The claims, and the second in which they end."""
    try:
        read = jwt.decode_complete(
            token,
            secret,
            algorithms=[_ALGORITHM],
            audience=_NAME,
            issuer=_NAME,
            options={"require": ["exp", "iat", "aud", "iss", "sub", "sid"]},
        )
        if read["header"].get("typ") != kind:
            raise Unauthenticated("this is no token for this door")
        said = read["payload"]
        return Claims(UUID(said["sub"]), UUID(said["sid"])), float(said["exp"])
    except (jwt.InvalidTokenError, ValueError):
        raise Unauthenticated("the token is not valid, or not any more") from None


def refresh_token() -> str:
    """256 random bits; only its hash is stored."""
    return secrets.token_urlsafe(32)


def token_hash(token: str) -> str:
    """Under which a random token is stored and found."""
    return hashlib.sha256(token.encode()).hexdigest()
