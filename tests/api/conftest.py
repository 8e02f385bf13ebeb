"""The web process without a worker and without a Temporal that answers."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from api.auth.demand import Demand
from api.auth.tokens import Claims, Signer
from api.settings import ApiSettings
from models.base import utc_now
from models.database import Database
from models.sessions import LoginSession
from models.tenants import MIGRAHOSTING
from models.users import Role, User
from tests.api.parked import Place, placing
from tests.api.shop import ORDER_SECRET, stock
from tests.api.web import running
from tests.conftest import free_port

SECRET_KEY = "the-tests-own-secret-of-40-characters---"
STRIPE_SECRET = "whsec_of-the-tests"
PLATFORM_DOMAIN = "sites.migrahosting.test"

LogIn = Callable[..., Awaitable[httpx.AsyncClient]]


@pytest.fixture(scope="session", autouse=True)
def no_temporal() -> Iterator[None]:
    """An address at which nobody listens."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEMPORAL_ADDRESS", f"127.0.0.1:{free_port()}")
        patch.setenv("TEMPORAL_CONFIG_FILE", os.devnull)
        yield


@pytest.fixture
def settings(app_url: str) -> ApiSettings:
    return ApiSettings(
        database_url=SecretStr(app_url),
        secret_key=SecretStr(SECRET_KEY),
        encryption_keys=SecretStr(f"v1:{'A' * 43}="),
        order_webhook_secret=SecretStr(ORDER_SECRET),
        stripe_webhook_secret=SecretStr(STRIPE_SECRET),
        platform_domain=PLATFORM_DOMAIN,
        public_url="http://api",
        second_factor=Demand.OFF,
        call_limit=100_000,
        call_limit_login=100_000,
        call_limit_poll=100_000,
        call_limit_webhook=100_000,
    )


@pytest.fixture
async def app(settings: ApiSettings, db: Database) -> AsyncIterator[FastAPI]:
    """A started web process over the empty database of `db`."""
    async with running(settings) as started:
        yield started


@pytest.fixture
async def api(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody who has not logged in."""
    async with client_of(app) as client:
        yield client


@pytest.fixture
async def log_in(app: FastAPI, db: Database) -> AsyncIterator[LogIn]:
    """`await log_in(Role.OPERATOR, tenant_id=...)`: a client of such a user."""
    async with AsyncExitStack() as clients:

        async def log_in(
            role: Role = Role.ADMIN, *, tenant_id: UUID = MIGRAHOSTING
        ) -> httpx.AsyncClient:
            token = await token_of(db, await add_user(db, role, tenant_id=tenant_id))
            client = await clients.enter_async_context(client_of(app))
            client.headers["Authorization"] = f"Bearer {token}"
            return client

        yield log_in


def client_of(app: FastAPI) -> httpx.AsyncClient:
    """What the network would see of the app."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api")


async def add_user(
    db: Database,
    role: Role,
    *,
    tenant_id: UUID = MIGRAHOSTING,
    password_hash: str = "none",
) -> User:
    """A user of this role."""
    user = User(
        tenant_id=tenant_id,
        email=f"{role}-{uuid4().hex[:8]}@example.com",
        name=f"The {role}",
        password_hash=password_hash,
        roles=[role],
    )
    async with db.platform() as session:
        session.add(user)
        await session.commit()
    return user


async def token_of(db: Database, user: User) -> str:
    """An access token as a login gives it."""
    login = LoginSession(
        tenant_id=user.tenant_id,
        user_id=user.id,
        address="127.0.0.1",
        user_agent="tests",
        expires_at=utc_now() + timedelta(hours=1),
    )
    async with db.platform() as session:
        session.add(login)
        await session.commit()
    return Signer(SECRET_KEY).access(Claims(user.id, login.id))


@pytest.fixture
async def operator(log_in: LogIn) -> httpx.AsyncClient:
    return await log_in(Role.OPERATOR)


@pytest.fixture
async def place(db: Database, api: httpx.AsyncClient) -> Place:
    """`await place()`: a paid order of hosting and backups whose lines have begun."""
    await stock(db)
    return placing(db, api)
