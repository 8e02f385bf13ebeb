"""A world and an API whose every secret is known, and whose every word is kept."""

import base64
import os
from collections.abc import AsyncIterator
from pathlib import Path

import asyncssh
import httpx
import pytest
from pydantic import SecretStr
from starlette.responses import Response
from temporalio.testing import WorkflowEnvironment

from api.auth.demand import Demand
from api.settings import ApiSettings
from models.database import Database
from models.seed import seed_cluster
from tests.api.live import live
from tests.canaries.planted import Planted
from tests.canaries.scene import Scene
from tests.conftest import PASSWORD, free_port
from tests.logged import logged
from tests.workers.conftest import Receiver, receiving
from tests.workflows.conftest import temporal
from tests.world import DOMAIN, NODE_QUEUES, Keys, Providers, providers, world
from workflows.queues import ALL

__all__ = ["temporal"]


@pytest.fixture
def planted() -> Planted:
    return Planted()


@pytest.fixture
def api_settings(db: Database, planted: Planted) -> ApiSettings:
    planted.keep("password of the database", PASSWORD)
    versions = {version: base64.b64encode(os.urandom(32)).decode() for version in "ab"}
    for version, key in versions.items():
        planted.keep(f"encryption key {version}", key)
    keys = ",".join(f"{version}:{key}" for version, key in versions.items())
    return ApiSettings(
        database_url=SecretStr(db.url),
        secret_key=SecretStr(planted.new("secret key")),
        encryption_keys=SecretStr(keys),
        order_webhook_secret=SecretStr(planted.new("order webhook's secret")),
        stripe_webhook_secret=SecretStr(planted.new("Stripe webhook's secret")),
        bounce_webhook_secret=SecretStr(planted.new("bounce webhook's secret")),
        platform_domain=DOMAIN,
        public_url="http://panel.example.net",
        second_factor=Demand.OPERATORS,
        call_limit=100_000,
        call_limit_login=100_000,
        metrics_port=free_port(),
    )


@pytest.fixture
async def simulators(tmp_path: Path, planted: Planted) -> AsyncIterator[Providers]:
    keys = Keys(
        stripe=planted.new("Stripe key", prefix="sk_test_"),
        powerdns=planted.new("PowerDNS key"),
        proxmox=planted.new("Proxmox token's secret"),
        mail=planted.new("SMTP password"),
    )
    async with providers(tmp_path, keys) as made:
        private = asyncssh.read_private_key(tmp_path / "client_key")
        lines = private.export_private_key().decode().splitlines()
        planted.keep("SSH private key", lines[len(lines) // 2])
        yield made


@pytest.fixture
async def hooks(planted: Planted) -> AsyncIterator[Receiver]:
    """The operators' endpoint; at first it fails, and says too much."""
    echoed = planted.new("answer of the operators' webhook", prefix="token=")

    async def answer(number: int) -> Response:
        return Response(echoed, status_code=500 if number == 1 else 200)

    async with receiving(answer) as made:
        yield made


@pytest.fixture
async def scene(
    planted: Planted,
    simulators: Providers,
    api_settings: ApiSettings,
    hooks: Receiver,
    db: Database,
    temporal: WorkflowEnvironment,
) -> AsyncIterator[Scene]:
    target = temporal.client.service_client.config.target_host
    hook_secret = planted.keep(
        "operators' webhook's secret", base64.b64encode(os.urandom(24)).decode()
    )
    with logged() as lines, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEMPORAL_ADDRESS", target)
        patch.setenv("TEMPORAL_CONFIG_FILE", os.devnull)
        async with (
            world(
                simulators,
                db,
                target,
                queues=(*ALL, *NODE_QUEUES),
                encryption_keys=api_settings.encryption_keys,
                operator_webhook_url=hooks.url,
                operator_webhook_secret=SecretStr(f"whsec_{hook_secret}"),
            ) as here,
            live(api_settings, db) as site,
            httpx.AsyncClient(base_url=site.url, trust_env=False, timeout=30) as api,
            httpx.AsyncClient(base_url=site.url, trust_env=False, timeout=30) as shown,
        ):
            async with db.platform() as session:
                await seed_cluster(session)
                await session.commit()
            made = Scene(planted, here, api_settings, api, shown, lines, hooks.got)
            api.event_hooks["response"].append(made.keep)
            yield made
