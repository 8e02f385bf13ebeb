"""A worker, a Temporal with its UI, the web process at a port, and a browser."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
import uvicorn
from playwright.async_api import Browser, async_playwright
from pydantic import SecretStr
from temporalio.testing import WorkflowEnvironment

from api.app import create_app
from api.auth import passwords
from api.auth.demand import Demand
from api.server import Server
from api.settings import ApiSettings
from models.database import Database
from models.users import Role, User
from tests.api.conftest import SECRET_KEY, add_user
from tests.api.live import up
from tests.conftest import free_port
from tests.console.browsing import PASSWORD, Tab, open_tab
from tests.world import DOMAIN, VAULT_KEY, Providers, World, providers, world
from workers.dev.temporal import dynamic_flags, program
from workflows.engine import search

CHROMIUM = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


OpenTab = Callable[..., Awaitable[Tab]]


@dataclass(frozen=True)
class Temporal:
    """Where its gRPC and its UI are."""

    target: str
    ui: str


@pytest.fixture(scope="session")
async def temporal() -> AsyncIterator[Temporal]:
    """A real server, in memory, with the UI that operators open."""
    ui_port = free_port()
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=program(),
        dev_server_log_level="error",
        search_attributes=list(search.KEYS),
        dev_server_startup_timeout=timedelta(seconds=60),
        ui=True,
        ui_port=ui_port,
        dev_server_extra_args=["--ui-disable-news-fetch", *dynamic_flags()],
    ) as environment:
        target = environment.client.service_client.config.target_host
        yield Temporal(target, f"http://127.0.0.1:{ui_port}")


@pytest.fixture(scope="session")
async def simulators(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Providers]:
    async with providers(tmp_path_factory.mktemp("providers")) as made:
        yield made


@pytest.fixture
async def here(
    simulators: Providers, db: Database, temporal: Temporal
) -> AsyncIterator[World]:
    """A world whose providers refuse when they are told to."""
    async with world(simulators, db, temporal.target) as made:
        yield made


@pytest.fixture
def second_factor() -> Demand:
    """Of whom the console demands one; a test may ask for another."""
    return Demand.OFF


@pytest.fixture
async def panel(
    db: Database, temporal: Temporal, second_factor: Demand
) -> AsyncIterator[str]:
    """The URL of a web process that answers there."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = ApiSettings(
        database_url=SecretStr(db.url),
        secret_key=SecretStr(SECRET_KEY),
        encryption_keys=SecretStr(VAULT_KEY),
        order_webhook_secret=SecretStr("shared-with-the-marketing-site"),
        stripe_webhook_secret=SecretStr("whsec_of-the-tests"),
        platform_domain=DOMAIN,
        public_url=url,
        second_factor=second_factor,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEMPORAL_ADDRESS", temporal.target)
        patch.setenv("TEMPORAL_CONFIG_FILE", os.devnull)
        app = create_app(settings)
    config = uvicorn.Config(
        app,
        port=port,
        log_level="error",
        access_log=False,
        timeout_graceful_shutdown=2,
    )
    server = Server(app, config)
    serving = asyncio.create_task(server._serve())
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as http:
        await up(http)
    yield url
    server.handle_exit(signal.SIGTERM, None)
    await serving


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Chromium as Debian has it, else the one that playwright brought."""
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=list(CHROMIUM)
        )
        yield launched
        await launched.close()


@pytest.fixture(scope="session")
async def password_hash() -> str:
    return await passwords.hashed(PASSWORD)


@pytest.fixture
async def olga(db: Database, password_hash: str) -> User:
    """An operator who can log in."""
    return await add_user(db, Role.OPERATOR, password_hash=password_hash)


@pytest.fixture
async def tab(browser: Browser, panel: str) -> AsyncIterator[OpenTab]:
    """`await tab(size=PHONE)`. At the end no page may have complained of anything."""
    opened: list[Tab] = []

    async def tab(**wishes: Any) -> Tab:
        opened.append(await open_tab(browser, panel, **wishes))
        return opened[-1]

    yield tab
    for one in opened:
        await one.context.close()
    assert [one.complaints for one in opened] == [[] for _ in opened]
