"""People who log in: their passwords, their apps, and what they call."""

import time
from dataclasses import dataclass, field

import httpx
import pyotp
from argon2 import PasswordHasher

from models.database import Database
from models.users import Role, User
from tests.api.conftest import add_user

PASSWORD = "correct horse battery staple"
GOOD_FOR = 10  # seconds, in which a code is used


async def person(db: Database, role: Role = Role.OPERATOR) -> User:
    """Somebody with `PASSWORD`, cheap to check."""
    hasher = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    return await add_user(db, role, password_hash=hasher.hash(PASSWORD))


@dataclass
class App:
    """An authenticator on somebody's phone. Each code is newer than the one before."""

    secret: str
    _last: int = field(default=0)

    def code(self) -> str:
        """One that was not shown before, and is good for a while yet: of three in half
        a minute the last may have to be waited for."""
        oldest = int(time.time() + GOOD_FOR) // 30 - 1
        self._last = max(oldest, self._last + 1)
        time.sleep(max(0.0, (self._last - 1) * 30 - time.time()))
        return pyotp.TOTP(self.secret).at(self._last * 30)


async def log_in(
    api: httpx.AsyncClient, user: User, code: str | None = None, **headers: str
) -> httpx.Response:
    """A login with the right password."""
    body = {"email": user.email, "password": PASSWORD}
    if code is not None:
        body["code"] = code
    return await api.post("/api/auth/login", json=body, headers=headers)


async def renew(
    api: httpx.AsyncClient, token: str, agent: str = "a browser"
) -> httpx.Response:
    """A refresh by the program of this name."""
    return await api.post(
        "/api/auth/refresh", json={"refreshToken": token}, headers={"user-agent": agent}
    )


def bearer(token: str) -> dict[str, str]:
    """The header of a call with this access token."""
    return {"Authorization": f"Bearer {token}"}


async def enrol(api: httpx.AsyncClient, token: str) -> tuple[App, list[str]]:
    """Sets up an app for whoever the token belongs to; its recovery codes."""
    headers = bearer(token)
    made = await api.post(
        "/api/auth/totp", json={"password": PASSWORD}, headers=headers
    )
    assert made.status_code == 201, made.text
    app = App(made.json()["secret"])
    confirmed = await api.post(
        "/api/auth/totp/confirm", json={"code": app.code()}, headers=headers
    )
    assert confirmed.status_code == 200, confirmed.text
    codes: list[str] = confirmed.json()["recoveryCodes"]
    return app, codes
