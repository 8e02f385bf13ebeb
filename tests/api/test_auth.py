"""Who gets in, and for how long."""

import base64
import json
from collections.abc import Callable

import httpx
import jwt
import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI

from models.base import utc_now
from models.database import Database
from models.users import Role, User
from tests.api.conftest import SECRET_KEY, add_user, token_of

PASSWORD = "correct horse battery staple"


@pytest.fixture
async def user(db: Database) -> User:
    hasher = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    return await add_user(db, Role.ADMIN, password_hash=hasher.hash(PASSWORD))


async def log_in(api: httpx.AsyncClient, user: User) -> dict[str, str]:
    response = await api.post(
        "/api/auth/login", json={"email": user.email, "password": PASSWORD}
    )
    assert response.status_code == 200
    found: dict[str, str] = response.json()
    return found


async def renew(api: httpx.AsyncClient, token: str) -> httpx.Response:
    return await api.post("/api/auth/refresh", json={"refreshToken": token})


async def whoami(api: httpx.AsyncClient, token: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return await api.get("/api/auth/me", headers=headers)


async def test_a_login_tells_who_it_is(api: httpx.AsyncClient, user: User) -> None:
    given = await log_in(api, user)

    me = await whoami(api, given["token"])

    assert me.status_code == 200
    assert me.json() == {**given["user"], "permissions": ["*"]}  # type: ignore[dict-item]


@pytest.mark.parametrize("email", ["right", "nobody@example.com"])
async def test_a_wrong_address_and_a_wrong_password_look_alike(
    api: httpx.AsyncClient, user: User, email: str
) -> None:
    body = {"email": user.email if email == "right" else email, "password": "wrong"}

    response = await api.post("/api/auth/login", json=body)

    assert response.status_code == 401
    assert response.json()["error"] == {
        "code": "UNAUTHORIZED",
        "message": "e-mail address or password is wrong",
        "details": {},
    }


async def test_the_address_is_known_in_any_case(
    api: httpx.AsyncClient, user: User
) -> None:
    body = {"email": user.email.upper(), "password": PASSWORD}

    assert (await api.post("/api/auth/login", json=body)).status_code == 200


async def test_a_refresh_token_works_once(api: httpx.AsyncClient, user: User) -> None:
    given = await log_in(api, user)

    renewed = (await renew(api, given["refreshToken"])).json()

    assert (await whoami(api, renewed["token"])).status_code == 200
    assert (await renew(api, renewed["refreshToken"])).status_code == 200


async def test_a_logout_ends_the_tokens_at_once(
    api: httpx.AsyncClient, user: User
) -> None:
    given = await log_in(api, user)
    headers = {"Authorization": f"Bearer {given['token']}"}

    assert (await api.post("/api/auth/logout", headers=headers)).status_code == 204

    assert (await whoami(api, given["token"])).status_code == 401
    assert (await renew(api, given["refreshToken"])).status_code == 401


async def test_roles_change_at_once(
    api: httpx.AsyncClient, db: Database, user: User
) -> None:
    token = await token_of(db, user)
    async with db.platform() as session:
        (await session.get_one(User, user.id)).roles = [Role.VIEWER]
        await session.commit()

    assert (await whoami(api, token)).json()["roles"] == ["viewer"]


async def test_a_disabled_user_is_out_at_once(
    api: httpx.AsyncClient, db: Database, user: User
) -> None:
    given = await log_in(api, user)
    async with db.platform() as session:
        (await session.get_one(User, user.id)).disabled_at = utc_now()
        await session.commit()

    assert (await whoami(api, given["token"])).status_code == 401
    body = {"email": user.email, "password": PASSWORD}
    assert (await api.post("/api/auth/login", json=body)).status_code == 401
    assert (await renew(api, given["refreshToken"])).status_code == 401


def resigned(token: str, secret: str = SECRET_KEY, **changes: object) -> str:
    """The same token with other claims (None: without) or another key."""
    claims = jwt.decode(token, options={"verify_signature": False})
    claims = {k: v for k, v in {**claims, **changes}.items() if v is not None}
    return jwt.encode(claims, secret, algorithm="HS256", headers={"typ": "at+jwt"})


def unsigned(token: str) -> str:
    header = json.dumps({"alg": "none", "typ": "at+jwt"}).encode()
    encoded = base64.urlsafe_b64encode(header).rstrip(b"=").decode()
    return f"{encoded}.{token.split('.')[1]}."


FORGERIES: dict[str, Callable[[str], str]] = {
    "another key": lambda token: resigned(token, "x" * 40),
    "no signature": unsigned,
    "expired": lambda token: resigned(token, exp=1),
    "without an end": lambda token: resigned(token, exp=None),
    "for somebody else": lambda token: resigned(token, aud="other"),
    "from somebody else": lambda token: resigned(token, iss="other"),
    "without a user": lambda token: resigned(token, sub=None),
    "another login": lambda token: resigned(token, sid="0" * 32),
    "another type": lambda token: jwt.encode(
        jwt.decode(token, options={"verify_signature": False}), SECRET_KEY, "HS256"
    ),
    "garbage": lambda token: "garbage",
}


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_a_forged_token_opens_nothing(
    api: httpx.AsyncClient, db: Database, user: User, forgery: str
) -> None:
    good = await token_of(db, user)

    response = await whoami(api, FORGERIES[forgery](good))

    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert (await whoami(api, resigned(good))).status_code == 200


async def test_claims_hold_ids_only(db: Database, user: User) -> None:
    claims = jwt.decode(await token_of(db, user), options={"verify_signature": False})

    assert set(claims) == {"iss", "aud", "iat", "exp", "sub", "sid"}


async def test_every_call_but_the_public_ones_needs_a_token(
    app: FastAPI, api: httpx.AsyncClient
) -> None:
    public = {
        "/api/health",
        "/api/auth/login",
        "/api/auth/refresh",
        "/api/auth/set-password",
        "/api/provisioning/webhooks/order-created",
        "/api/payments/stripe/webhook",
    }
    asked = 0
    for path, methods in app.openapi()["paths"].items():
        for method in set(methods) - {"parameters"}:
            if path not in public:
                where = path.replace("{id}", "00000000-0000-4000-8000-000000000009")
                response = await api.request(method.upper(), where)
                assert response.status_code == 401, (method, path)
                asked += 1
    assert asked > 1
