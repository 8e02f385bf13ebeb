"""Stripe's events are kept once each, if Stripe signed them, and touch nothing else."""

import asyncio
import hashlib
import hmac
import json
import time
from typing import Any

import httpx
import pytest
from sqlmodel import select

from models.database import Database
from models.inbox import StripeEventReceived
from tests.api.conftest import STRIPE_SECRET
from tests.api.ears import listening
from tests.api.shop import count

ROUTE = "/api/payments/stripe/webhook"


def event(**changes: Any) -> bytes:
    body = {
        "id": "evt_1",
        "object": "event",
        "type": "payment_intent.succeeded",
        "data": {"object": {"id": "pi_1", "object": "payment_intent"}},
    }
    return json.dumps({**body, **changes}).encode()


def header(raw: bytes, *, at: float | None = None, secret: str = STRIPE_SECRET) -> str:
    """Two signatures, as while Stripe rolls the secret: one of them fits."""
    timestamp = str(int(at if at is not None else time.time()))
    signed = timestamp.encode() + b"." + raw
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={'0' * 64},v1={digest}"


async def send(api: httpx.AsyncClient, raw: bytes, signed: str) -> httpx.Response:
    return await api.post(ROUTE, content=raw, headers={"Stripe-Signature": signed})


async def test_an_event_is_kept_once_and_the_worker_is_woken(
    api: httpx.AsyncClient, db: Database, app_url: str
) -> None:
    raw = event()
    async with listening(app_url) as heard:
        answers = await asyncio.gather(*(send(api, raw, header(raw)) for _ in range(5)))
        assert await heard() == ["stripe"]
    assert [(one.status_code, one.content) for one in answers] == [(200, b"")] * 5
    async with db.platform() as session:
        kept = (await session.exec(select(StripeEventReceived))).one()
    assert (kept.event_id, kept.object_id) == ("evt_1", "pi_1")
    assert kept.type == "payment_intent.succeeded"
    assert kept.handled_at is None


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "radar.early_fraud_warning.created"},
        {"type": "balance.available", "data": {"object": {"object": "balance"}}},
    ],
)
async def test_events_that_nobody_uses_are_taken_too(
    api: httpx.AsyncClient, db: Database, changes: dict[str, Any]
) -> None:
    raw = event(**changes)
    assert (await send(api, raw, header(raw))).status_code == 200
    assert await count(db, "stripe_events") == 1


@pytest.mark.parametrize(
    "signed",
    [
        "",
        "nonsense",
        header(event(id="evt_2")),
        header(event(), secret="another"),
        header(event(), at=time.time() - 400),
    ],
)
async def test_what_stripe_did_not_sign_now_is_refused(
    api: httpx.AsyncClient, db: Database, signed: str
) -> None:
    answer = await send(api, event(), signed)
    assert answer.status_code == 401
    assert await count(db, "stripe_events") == 0


async def test_bytes_that_are_no_text_are_refused(
    api: httpx.AsyncClient, db: Database
) -> None:
    assert (await send(api, b"\xff", header(b"\xff"))).status_code == 401


async def test_a_signed_body_that_is_no_event_is_refused(
    api: httpx.AsyncClient, db: Database
) -> None:
    for raw, status in ((b"{", 400), (b"[]", 422)):
        assert (await send(api, raw, header(raw))).status_code == status
    assert await count(db, "stripe_events") == 0
