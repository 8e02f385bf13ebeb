"""The webhook: each event, signed, until the receiver takes it with a 2xx."""

import asyncio
import contextlib
import hashlib
import hmac
import json
import time

import httpx

from simulators.store import Store
from simulators.stripe.account import Json

_AT_ONCE = 8
_LONGEST_WAIT = 30.0
_TIMEOUT = 10.0


def signature(secret: str, payload: bytes, at: int) -> str:
    """The Stripe-Signature header of a body sent at `at` (unix seconds)."""
    signed = hmac.new(secret.encode(), b"%d." % at + payload, hashlib.sha256)
    return f"t={at},v1={signed.hexdigest()}"


class Webhooks:
    """Deliveries wait in the store, so that a restart forgets none.

    A delivery without `due` was dropped: it is never sent, and listed as failed.
    """

    def __init__(self, store: Store, url: str | None, secret: str) -> None:
        self._store, self._url, self._secret = store, url, secret
        self._news = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None

    def announce(self, event: Json) -> None:
        """In the transaction that made the event."""
        if not self._url:
            return
        due = time.time() if self._store.setting("webhooks", True) else None
        self._keep({"id": event["id"], "attempts": 0, "due": due})
        self._news.set()

    def enable(self, enabled: bool) -> None:
        """Off: whatever waits, and whatever happens from now on, is dropped."""
        self._store.set_setting("webhooks", enabled)
        if not enabled:
            for delivery in self._store.each("_delivery"):
                self._keep({**delivery, "due": None})

    async def start(self) -> None:
        """Takes up what an earlier run left."""
        self._loop = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """What was not delivered waits for the next start."""
        if self._loop:
            self._loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loop

    async def _run(self) -> None:
        async with httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False) as http:
            while True:
                self._news.clear()
                waiting = [d for d in self._store.each("_delivery") if d["due"]]
                ready = [d for d in waiting if d["due"] <= time.time()][:_AT_ONCE]
                await asyncio.gather(*(self._deliver(http, each) for each in ready))
                if ready:
                    continue
                soonest = min((d["due"] for d in waiting), default=None)
                pause = soonest and max(0.0, soonest - time.time())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._news.wait()

    async def _deliver(self, http: httpx.AsyncClient, delivery: Json) -> None:
        event = self._store.find("event", delivery["id"])
        if event is None or await self._taken(http, event):
            self._store.remove("_delivery", delivery["id"])
            return
        attempts = delivery["attempts"] + 1
        pause = min(_LONGEST_WAIT, 0.25 * 2**attempts)
        if self._store.find("_delivery", delivery["id"]) == delivery:
            due = time.time() + pause
            self._keep({"id": delivery["id"], "attempts": attempts, "due": due})

    async def _taken(self, http: httpx.AsyncClient, event: Json) -> bool:
        payload = json.dumps({**event, "pending_webhooks": 1}, indent=2).encode()
        signed = signature(self._secret, payload, int(time.time()))
        headers = {"Stripe-Signature": signed, "Content-Type": "application/json"}
        try:
            answer = await http.post(self._url or "", content=payload, headers=headers)
        except httpx.HTTPError:
            return False
        return answer.is_success

    def _keep(self, delivery: Json) -> None:
        self._store.put("_delivery", delivery["id"], delivery)
