"""Stripe's webhook: signed, repeated until it is taken, over a restart too."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import stripe
from simulators.core import Simulator
from simulators.http import HttpServer
from simulators.stripe import build
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.simulators.conftest import STRIPE_KEY

SECRET = "whsec_only_for_this_test"


class Receiver:
    """Takes webhooks, after refusing the first `refuse` of them."""

    def __init__(self) -> None:
        self.refuse = 0
        self.tried: list[tuple[str, float]] = []
        self.taken: list[stripe.Event] = []
        route = Route("/hook", self._receive, methods=["POST"])
        self.server = HttpServer(Starlette(routes=[route]), 0)

    async def _receive(self, request: Request) -> Response:
        event = stripe.Webhook.construct_event(
            await request.body(), request.headers["stripe-signature"], SECRET
        )
        self.tried.append((event.id, time.monotonic()))
        if len(self.tried) <= self.refuse:
            return Response(status_code=503)
        self.taken.append(event)
        return Response()

    def types(self) -> list[str]:
        return sorted(event.type for event in self.taken)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    await receiver.server.start()
    yield receiver
    await receiver.server.stop()


@pytest.fixture
async def account(receiver: Receiver, tmp_path: Path) -> AsyncIterator[Simulator]:
    simulator = started(receiver, tmp_path)
    await simulator.start()
    yield simulator
    await simulator.stop()


def started(receiver: Receiver, data_dir: Path) -> Simulator:
    hook = f"http://127.0.0.1:{receiver.server.port}/hook"
    settings = {"port": 0, "api_key": STRIPE_KEY, "webhook_url": hook}
    return build({**settings, "webhook_secret": SECRET}, data_dir)


async def posted(simulator: Simulator, path: str, body: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {STRIPE_KEY}"}
    async with httpx.AsyncClient(
        base_url=simulator.url, headers=headers, timeout=60
    ) as http:
        return await http.post(path, json=body)


async def pay(simulator: Simulator) -> None:
    asked = {"customer": "cus_1", "amount": 5, "currency": "usd"}
    await posted(simulator, "/_simulator/payments", asked)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


PAID = [
    "charge.succeeded",
    "customer.created",
    "payment_intent.created",
    "payment_intent.succeeded",
]


async def test_every_event_arrives_with_a_signature_the_sdk_accepts(
    account: Simulator, receiver: Receiver
) -> None:
    await pay(account)
    await until(lambda: len(receiver.taken) == 4)

    assert receiver.types() == PAID
    paid = next(e for e in receiver.taken if e.type == "payment_intent.succeeded")
    assert paid.data.object["status"] == "succeeded"


async def test_a_refused_event_comes_again_after_a_pause(
    account: Simulator, receiver: Receiver
) -> None:
    receiver.refuse = 4
    await pay(account)
    await until(lambda: len(receiver.taken) == 4)

    assert receiver.types() == PAID
    assert len(receiver.tried) == 8
    for event in receiver.taken:
        refused, again = [at for id, at in receiver.tried if id == event.id]
        assert again - refused > 0.2


async def test_what_was_not_taken_before_a_restart_comes_after_it(
    receiver: Receiver, tmp_path: Path
) -> None:
    receiver.refuse = 1000
    first = started(receiver, tmp_path)
    await first.start()
    await pay(first)
    await until(lambda: len(receiver.tried) >= 4)
    await first.stop()

    receiver.refuse = 0
    second = started(receiver, tmp_path)
    await second.start()
    await until(lambda: len(receiver.taken) == 4)
    await second.stop()

    assert receiver.types() == PAID


async def test_dropped_events_are_listed_as_not_delivered(
    account: Simulator, receiver: Receiver
) -> None:
    await posted(account, "/_simulator/webhooks", {"enabled": False})
    await pay(account)
    await posted(account, "/_simulator/webhooks", {"enabled": True})
    await posted(account, "/v1/customers", None)
    await until(lambda: len(receiver.taken) == 1)

    http = stripe.HTTPXClient(timeout=60)
    sdk = stripe.StripeClient(
        STRIPE_KEY, base_addresses={"api": account.url}, http_client=http
    )
    missed = await sdk.v1.events.list_async({"delivery_success": False})
    await http.close_async()  # type: ignore[no-untyped-call]

    assert sorted(event.type for event in missed.data) == PAID
