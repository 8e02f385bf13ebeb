"""Stripe's rules for `Idempotency-Key`, also when the answer is lost."""

import asyncio
from typing import Any

import httpx
import pytest
import stripe

KEY: Any = {"idempotency_key": "refund:order-1"}
CUSTOMER: Any = {"email": "a@example.test"}


async def customers(control: httpx.AsyncClient) -> int:
    effects = (await control.get("/_simulator/ledger")).json()["effects"]
    return sum(each["effect"] == "customer.created" for each in effects)


async def script(control: httpx.AsyncClient, **script: Any) -> None:
    put = await control.put("/_simulator/faults", json=[script])
    assert put.status_code == 200


async def test_the_first_result_is_repeated_without_an_effect(
    control: httpx.AsyncClient,
) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = await control.post("/v1/customers", headers=headers, content=b"email=a")

    again = await control.post("/v1/customers", headers=headers, content=b"email=a")

    assert again.json() == first.json()
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert await customers(control) == 1


async def test_other_parameters_under_the_same_key_are_refused(
    sdk: stripe.StripeClient, control: httpx.AsyncClient
) -> None:
    await sdk.v1.customers.create_async(CUSTOMER, KEY)

    with pytest.raises(stripe.IdempotencyError):
        await sdk.v1.customers.create_async({"email": "other@example.test"}, KEY)

    assert await customers(control) == 1


async def test_a_second_request_while_the_first_still_runs_is_a_conflict(
    sdk: stripe.StripeClient, control: httpx.AsyncClient
) -> None:
    await script(control, kind="slow", seconds=2)
    first = asyncio.create_task(sdk.v1.customers.create_async(CUSTOMER, KEY))
    async with asyncio.timeout(60):
        while not (await control.get("/_simulator/ledger")).json()["calls"]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    with pytest.raises(stripe.StripeError) as refused:
        await sdk.v1.customers.create_async(CUSTOMER, KEY)

    assert refused.value.http_status == 409
    assert refused.value.error
    assert refused.value.error.code == "idempotency_key_in_use"
    made = await first
    again = await sdk.v1.customers.create_async(CUSTOMER, KEY)
    assert again.id == made.id
    assert await customers(control) == 1


async def test_a_wrong_or_throttled_request_leaves_the_key_free(
    sdk: stripe.StripeClient, control: httpx.AsyncClient
) -> None:
    wrong: Any = {"colour": "red"}
    with pytest.raises(stripe.InvalidRequestError):
        await sdk.v1.customers.create_async(wrong, KEY)
    await script(control, kind="throttle", retry_after=3)
    with pytest.raises(stripe.RateLimitError) as throttled:
        await sdk.v1.customers.create_async(CUSTOMER, KEY)

    await sdk.v1.customers.create_async(CUSTOMER, KEY)

    assert (throttled.value.headers or {})["retry-after"] == "3"
    assert await customers(control) == 1


async def test_a_500_after_the_effect_is_repeated_too(
    sdk: stripe.StripeClient, control: httpx.AsyncClient
) -> None:
    await script(control, kind="execute_then_fail")

    for _ in range(2):
        with pytest.raises(stripe.APIError) as failed:
            await sdk.v1.customers.create_async(CUSTOMER, KEY)
        assert failed.value.http_status == 500

    assert await customers(control) == 1


async def test_a_lost_answer_is_found_again_under_its_key(
    sdk: stripe.StripeClient, control: httpx.AsyncClient
) -> None:
    await script(control, kind="execute_then_timeout", seconds=0)
    with pytest.raises(stripe.APIConnectionError):
        await sdk.v1.customers.create_async(CUSTOMER, KEY)

    found = await sdk.v1.customers.create_async(CUSTOMER, KEY)

    assert [found.id] == [c.id for c in (await sdk.v1.customers.list_async()).data]
    assert await customers(control) == 1


async def test_a_declined_card_is_declined_again_without_a_second_try(
    sdk: stripe.StripeClient, control: httpx.AsyncClient
) -> None:
    declined: Any = {
        "amount": 5,
        "currency": "usd",
        "payment_method": "pm_card_chargeDeclined",
        "confirm": True,
    }
    for _ in range(2):
        with pytest.raises(stripe.CardError):
            await sdk.v1.payment_intents.create_async(declined, KEY)

    assert len((await sdk.v1.charges.list_async()).data) == 1
