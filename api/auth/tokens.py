"""Tokens: signed ones for a quarter of an hour, random ones to renew them."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import jwt

from models.base import utc_now
from models.errors import Unauthenticated

ACCESS_LIVES: Final = timedelta(minutes=15)

_ALGORITHM: Final = "HS256"
_TYPE: Final = "at+jwt"
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

    def access(self, claims: Claims) -> str:
        """A token for the next quarter of an hour."""
        now = utc_now()
        return jwt.encode(
            {
                "iss": _NAME,
                "aud": _NAME,
                "iat": now,
                "exp": now + ACCESS_LIVES,
                "sub": str(claims.user_id),
                "sid": str(claims.session_id),
            },
            self._secret,
            algorithm=_ALGORITHM,
            headers={"typ": _TYPE},
        )

    def read(self, token: str) -> Claims:
        """What the token says. Raises `Unauthenticated` if it is not good now."""
        try:
            read = jwt.decode_complete(
                token,
                self._secret,
                algorithms=[_ALGORITHM],
                audience=_NAME,
                issuer=_NAME,
                options={"require": ["exp", "iat", "aud", "iss", "sub", "sid"]},
            )
            if read["header"].get("typ") != _TYPE:
                raise Unauthenticated("this is no access token")
            said = read["payload"]
            return Claims(UUID(said["sub"]), UUID(said["sid"]))
        except (jwt.InvalidTokenError, ValueError):
            raise Unauthenticated("the token is not valid, or not any more") from None


def refresh_token() -> str:
    """256 random bits; only its hash is stored."""
    return secrets.token_urlsafe(32)


def token_hash(token: str) -> str:
    """Under which a random token is stored and found."""
    return hashlib.sha256(token.encode()).hexdigest()
