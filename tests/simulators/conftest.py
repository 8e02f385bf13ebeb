"""Simulators for the tests of this folder: real servers on free ports."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import stripe
from simulators.core import Simulator
from simulators.stripe import build

STRIPE_KEY = "sk_test_simulated1234"


@pytest.fixture(scope="session")
async def stripe_server(tmp_path_factory: Any) -> AsyncIterator[Simulator]:
    settings = {"port": 0, "api_key": STRIPE_KEY}
    simulator = build(settings, tmp_path_factory.mktemp("stripe"))
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.fixture
async def control(stripe_server: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    """Plain HTTP to it; it has forgotten everything."""
    async with httpx.AsyncClient(
        base_url=stripe_server.url,
        headers={"Authorization": f"Bearer {STRIPE_KEY}"},
        timeout=60,
        trust_env=False,
    ) as http:
        await http.post("/_simulator/reset")
        yield http


@pytest.fixture
async def sdk(
    stripe_server: Simulator, control: httpx.AsyncClient
) -> AsyncIterator[stripe.StripeClient]:
    """Stripe's own client."""
    http = stripe.HTTPXClient(timeout=60)
    yield stripe.StripeClient(
        STRIPE_KEY,
        base_addresses={"api": stripe_server.url},
        max_network_retries=0,
        http_client=http,
    )
    await http.close_async()  # type: ignore[no-untyped-call]
