"""Customers who pay at Stripe and a marketing site that tells us, stubbornly."""

import asyncio
import hashlib
import hmac
import json
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from workers.dev.running import RunningStack
from workers.dev.settings import of_stack

PRICE = 5498
_ITEMS = [
    {"code": "wp_growth", "type": "hosting"},
    {"code": "daily_backups_30d", "type": "addon"},
]
_AGAIN = 0.2
_WITHIN = 90.0


@dataclass
class Purchase:
    """One customer. `order_id` is there once the order was accepted."""

    number: int
    email: str
    at: float
    repeats: int
    intent: str | None = None
    order_id: str | None = None
    answers: set[str] = field(default_factory=set)


def purchases(draw: random.Random, count: int, *, within: float) -> list[Purchase]:
    """Who comes when (seconds from now), and how often their order is told again."""
    return [
        Purchase(
            number,
            f"customer{number:02}@chaos.example",
            draw.uniform(0, within),
            draw.choice((0, 0, 1, 2)),
        )
        for number in range(1, count + 1)
    ]


class Refused(Exception):
    """An answer that trying again does not change."""


class Shop:
    """Speaks as everybody outside does: HTTP, with keys that make repeats safe."""

    def __init__(self, stack: RunningStack, http: httpx.AsyncClient) -> None:
        self._stack, self._http = stack, http
        told = of_stack(stack.data_dir)
        self._webhook_secret = told["MPANEL_STRIPE_WEBHOOK_SECRET"]

    async def serve(self, purchase: Purchase) -> None:
        """Pays, orders, and tells the order again as often as was drawn."""
        await asyncio.sleep(purchase.at)
        customer = await self._stripe(
            "customers", {"email": purchase.email}, key=f"c-{purchase.email}"
        )
        paid = await self._stripe(
            "payment_intents",
            {
                "amount": str(PRICE),
                "currency": "usd",
                "customer": customer["id"],
                "payment_method": "pm_card_visa",
                "payment_method_types[]": "card",
                "confirm": "true",
            },
            key=f"p-{purchase.email}",
        )
        purchase.intent = str(paid["id"])
        body = {
            "source": "migrahosting.com",
            "stripeCustomerId": customer["id"],
            "customerEmail": purchase.email,
            "items": _ITEMS,
        }
        tellings = [self._order(body, purchase) for _ in range(1 + purchase.repeats)]
        await asyncio.gather(*tellings)
        (purchase.order_id,) = purchase.answers

    async def repeat_event(self, draw: random.Random) -> str | None:
        """Stripe sends an event twice more, as it may; its type."""
        stripe = self._stack.dev["simulators"]["stripe"]
        key = self._stack.dev["stripe_api_key"]
        try:
            listed = await self._http.get(
                f"{stripe}/v1/events",
                params={"limit": "20"},
                headers={"Authorization": f"Bearer {key}"},
            )
            events = listed.json()["data"] if listed.is_success else []
            if not events:
                return None
            event = draw.choice(events)
            await asyncio.gather(*(self._event(event) for _ in range(2)))
        except (httpx.HTTPError, ValueError):
            return None
        return str(event["type"])

    async def _event(self, event: dict[str, Any]) -> None:
        payload, at = json.dumps(event).encode(), int(time.time())
        signed = hmac.new(
            self._webhook_secret.encode(), b"%d." % at + payload, hashlib.sha256
        )
        await self._http.post(
            f"{self._stack.dev['api']}/api/payments/stripe/webhook",
            content=payload,
            headers={"Stripe-Signature": f"t={at},v1={signed.hexdigest()}"},
        )

    async def _stripe(
        self, kind: str, form: dict[str, str], *, key: str
    ) -> dict[str, Any]:
        dev = self._stack.dev
        headers = {
            "Authorization": f"Bearer {dev['stripe_api_key']}",
            "Idempotency-Key": key,
        }
        url = f"{dev['simulators']['stripe']}/v1/{kind}"

        async def ask() -> httpx.Response:
            return await self._http.post(url, data=form, headers=headers)

        made: dict[str, Any] = (await _insist(ask, "pay at Stripe")).json()
        return made

    async def _order(self, body: dict[str, Any], purchase: Purchase) -> None:
        raw = json.dumps(body).encode()
        dev = self._stack.dev
        secret = str(dev["order_webhook_secret"]).encode()
        signature = hmac.new(secret, raw, hashlib.sha256).hexdigest()
        headers = {
            "Content-Type": "application/json",
            "X-Webhook-Signature": f"sha256={signature}",
            "Idempotency-Key": str(purchase.intent),
        }
        url = f"{dev['api']}/api/provisioning/webhooks/order-created"

        async def ask() -> httpx.Response:
            return await self._http.post(url, content=raw, headers=headers)

        answer = await _insist(ask, "place the order")
        purchase.answers.add(str(answer.json()["orderId"]))


async def _insist(ask: Callable[[], Awaitable[httpx.Response]], what: str) -> Any:
    """Until it is answered well. Raises `Refused`."""
    deadline = time.monotonic() + _WITHIN
    said = "no answer"
    while time.monotonic() < deadline:
        try:
            answer = await ask()
        except httpx.TransportError as error:
            said = type(error).__name__
        else:
            if answer.is_success:
                return answer
            said = f"{answer.status_code} {answer.text[:200]}"
            if answer.status_code not in (409, 425, 429) and answer.status_code < 500:
                break
        await asyncio.sleep(_AGAIN)
    raise Refused(f"{what}: {said}")
