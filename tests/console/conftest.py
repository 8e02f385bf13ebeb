"""A worker, a Temporal with its UI, the web process at a port, and a browser."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
import uvicorn
from playwright.async_api import Browser, async_playwright
from pydantic import SecretStr
from temporalio.testing import WorkflowEnvironment

from api.app import create_app
from api.auth.demand import Demand
from api.settings import ApiSettings
from models.database import Database
from tests.api.conftest import SECRET_KEY
from tests.conftest import free_port
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
    """A world whose steps give up after a second of trouble."""
    async with world(
        simulators,
        db,
        temporal.target,
        patience_seconds=1.0,
        undo_patience_seconds=0.5,
    ) as made:
        yield made


@pytest.fixture
async def panel(db: Database, temporal: Temporal) -> AsyncIterator[str]:
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
        second_factor=Demand.OFF,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEMPORAL_ADDRESS", temporal.target)
        patch.setenv("TEMPORAL_CONFIG_FILE", os.devnull)
        app = create_app(settings)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            port=port,
            log_level="error",
            access_log=False,
            timeout_graceful_shutdown=2,
        )
    )
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(server.serve())
    async with httpx.AsyncClient(trust_env=False) as http:
        while True:
            with contextlib.suppress(httpx.TransportError):
                await http.get(f"{url}/api/health")
                break
            await asyncio.sleep(0.05)
    yield url
    server.should_exit = True
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
