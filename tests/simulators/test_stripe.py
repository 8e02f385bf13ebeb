"""The Stripe simulator, through Stripe's own SDK."""

import time
from typing import Any

import httpx
import pytest
import stripe
from simulators.core import Simulator

CARD: Any = {"amount": 1999, "currency": "usd", "payment_method": "pm_card_visa"}


async def paid(sdk: stripe.StripeClient, **more: Any) -> stripe.PaymentIntent:
    asked: Any = {**CARD, "confirm": True, **more}
    return await sdk.v1.payment_intents.create_async(asked)


async def effects(control: httpx.AsyncClient, name: str) -> list[dict[str, Any]]:
    ledger = (await control.get("/_simulator/ledger")).json()
    return [each for each in ledger["effects"] if each["effect"] == name]


async def test_a_confirmed_intent_is_paid_by_its_charge(
    sdk: stripe.StripeClient, control: httpx.AsyncClient
) -> None:
    intent = await sdk.v1.payment_intents.create_async(CARD)
    assert intent.status == "requires_confirmation"

    intent = await sdk.v1.payment_intents.confirm_async(
        intent.id, {"expand": ["latest_charge"]}
    )

    assert (intent.status, intent.amount_received) == ("succeeded", 1999)
    assert isinstance(intent.latest_charge, stripe.Charge)
    assert intent.latest_charge.paid
    (charged,) = await effects(control, "charge.succeeded")
    assert charged["detail"]["amount"] == 1999


async def test_a_held_payment_is_captured_in_part(sdk: stripe.StripeClient) -> None:
    intent = await paid(sdk, capture_method="manual")
    assert (intent.status, intent.amount_received) == ("requires_capture", 0)

    intent = await sdk.v1.payment_intents.capture_async(
        intent.id, {"amount_to_capture": 500}
    )

    assert (intent.status, intent.amount_received) == ("succeeded", 500)


async def test_a_canceled_intent_cannot_be_paid(sdk: stripe.StripeClient) -> None:
    intent = await sdk.v1.payment_intents.create_async(CARD)
    await sdk.v1.payment_intents.cancel_async(intent.id)

    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sdk.v1.payment_intents.confirm_async(intent.id)

    assert refused.value.code == "payment_intent_unexpected_state"


async def test_a_declined_card_is_refused_and_written_down(
    sdk: stripe.StripeClient, control: httpx.AsyncClient
) -> None:
    with pytest.raises(stripe.CardError) as refused:
        await paid(sdk, payment_method="pm_card_chargeDeclined")

    assert refused.value.code == "card_declined"
    (intent,) = (await sdk.v1.payment_intents.list_async()).data
    assert intent.status == "requires_payment_method"
    assert len(await effects(control, "charge.failed")) == 1


async def test_no_more_is_refunded_than_was_paid(sdk: stripe.StripeClient) -> None:
    intent = await paid(sdk)
    part: Any = {"payment_intent": intent.id, "amount": 1500}
    await sdk.v1.refunds.create_async(part)

    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded"):
        await sdk.v1.refunds.create_async(part)
    rest = await sdk.v1.refunds.create_async({"payment_intent": intent.id})
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sdk.v1.refunds.create_async({"payment_intent": intent.id})

    assert rest.amount == 499
    assert refused.value.code == "charge_already_refunded"
    charge = await sdk.v1.charges.retrieve_async(str(intent.latest_charge))
    assert (charge.refunded, charge.amount_refunded) == (True, 1999)


async def test_a_disputed_charge_is_not_refundable(
    sdk: stripe.StripeClient, control: httpx.AsyncClient
) -> None:
    intent = await paid(sdk)
    await control.post("/_simulator/dispute", json={"payment_intent": intent.id})

    charge = await sdk.v1.charges.retrieve_async(str(intent.latest_charge))
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sdk.v1.refunds.create_async({"payment_intent": intent.id})

    assert charge.disputed
    assert refused.value.code == "charge_disputed"
    again = await paid(sdk, payment_method="pm_card_createDispute")
    assert (await sdk.v1.charges.retrieve_async(str(again.latest_charge))).disputed


async def test_a_checkout_session_is_paid_on_its_page(
    sdk: stripe.StripeClient, control: httpx.AsyncClient
) -> None:
    mug: Any = {"currency": "usd", "unit_amount": 700, "product_data": {"name": "Mug"}}
    session = await sdk.v1.checkout.sessions.create_async(
        {
            "mode": "payment",
            "line_items": [{"price_data": mug, "quantity": 2}],
            "success_url": "http://127.0.0.1/thanks?s={CHECKOUT_SESSION_ID}",
            "payment_intent_data": {"metadata": {"order_id": "o-1"}},
        }
    )
    assert (session.payment_status, session.payment_intent) == ("unpaid", None)
    page = await control.get(str(session.url))
    assert "14.00 USD" in page.text

    answer = await control.post(f"{session.url}/pay", data={"email": "b@example.test"})

    assert answer.status_code == 303
    assert answer.headers["location"].endswith(session.id)
    session = await sdk.v1.checkout.sessions.retrieve_async(
        session.id, {"expand": ["payment_intent"]}
    )
    assert (session.status, session.payment_status) == ("complete", "paid")
    assert isinstance(session.payment_intent, stripe.PaymentIntent)
    assert session.payment_intent.amount_received == 1400
    assert session.payment_intent.metadata["order_id"] == "o-1"


async def test_a_subscription_is_billed_each_period_by_an_invoice_payment(
    sdk: stripe.StripeClient, control: httpx.AsyncClient
) -> None:
    customer = await sdk.v1.customers.create_async()
    price = await sdk.v1.prices.create_async(
        {
            "currency": "usd",
            "unit_amount": 1999,
            "recurring": {"interval": "month"},
            "product_data": {"name": "WordPress"},
        }
    )
    method = await sdk.v1.payment_methods.attach_async(
        "pm_card_visa", {"customer": customer.id}
    )
    subscription = await sdk.v1.subscriptions.create_async(
        {
            "customer": customer.id,
            "items": [{"price": price.id}],
            "default_payment_method": method.id,
        }
    )
    first_end = subscription["items"].data[0].current_period_end
    assert subscription.status == "active"
    # A February has 28 days, and a moment of them is over.
    assert 27.9 <= (first_end - time.time()) / 86400 <= 31.1

    renewed = await control.post(f"/_simulator/subscriptions/{subscription.id}/renew")

    assert renewed.json()["items"]["data"][0]["current_period_start"] == first_end
    invoices = await sdk.v1.invoices.list_async({"subscription": subscription.id})
    assert [(i.billing_reason, i.status) for i in invoices.data] == [
        ("subscription_cycle", "paid"),
        ("subscription_create", "paid"),
    ]
    intents = await sdk.v1.payment_intents.list_async({"customer": customer.id})
    for intent in intents.data:
        (payment,) = (
            await sdk.v1.invoice_payments.list_async(
                {"payment": {"type": "payment_intent", "payment_intent": intent.id}}
            )
        ).data
        assert payment.invoice in {invoice.id for invoice in invoices.data}
    assert len(await effects(control, "charge.succeeded")) == 2


async def test_a_renewal_that_is_declined_leaves_the_subscription_past_due(
    sdk: stripe.StripeClient, control: httpx.AsyncClient
) -> None:
    customer = await sdk.v1.customers.create_async()
    daily: Any = {
        "currency": "usd",
        "unit_amount": 100,
        "recurring": {"interval": "day"},
        "product_data": {"name": "Backups"},
    }
    price = await sdk.v1.prices.create_async(daily)
    subscription = await sdk.v1.subscriptions.create_async(
        {
            "customer": customer.id,
            "items": [{"price": price.id}],
            "default_payment_method": "pm_card_visa",
        }
    )
    await sdk.v1.subscriptions.update_async(
        subscription.id, {"default_payment_method": "pm_card_chargeDeclined"}
    )

    await control.post(f"/_simulator/subscriptions/{subscription.id}/renew")

    subscription = await sdk.v1.subscriptions.retrieve_async(
        subscription.id, {"expand": ["latest_invoice.payments"]}
    )
    assert subscription.status == "past_due"
    assert isinstance(subscription.latest_invoice, stripe.Invoice)
    assert subscription.latest_invoice.status == "open"
    assert subscription.latest_invoice.payments is not None
    assert subscription.latest_invoice.payments.data[0].status == "open"


async def test_lists_come_in_pages_newest_first_and_by_time(
    sdk: stripe.StripeClient, control: httpx.AsyncClient
) -> None:
    hour_ago = int(time.time()) - 3600
    old = {"amount": 5, "currency": "usd", "created": hour_ago, "email": "a@b.test"}
    first = (await control.post("/_simulator/payments", json=old)).json()
    made = [(await paid(sdk)).id for _ in range(4)]

    page = await sdk.v1.payment_intents.list_async({"limit": 2})
    everything = [each.id async for each in page.auto_paging_iter()]
    lately = await sdk.v1.payment_intents.list_async({"created": {"gte": hour_ago + 1}})

    assert page.has_more
    assert everything == [*reversed(made), first["payment_intent"]["id"]]
    assert [each.id for each in lately.data] == made[::-1]
    assert not lately.has_more


async def test_a_payment_in_one_call_belongs_to_the_customer_that_is_named(
    sdk: stripe.StripeClient, control: httpx.AsyncClient
) -> None:
    asked = {"customer": "cus_website", "amount": 5, "currency": "eur"}
    await control.post("/_simulator/payments", json=asked)
    await control.post(
        "/_simulator/payments", json={**asked, "status": "requires_payment_method"}
    )

    found = await sdk.v1.payment_intents.list_async({"customer": "cus_website"})

    states = [intent.status for intent in found.data]
    assert states == ["requires_payment_method", "succeeded"]


@pytest.mark.parametrize(
    ("asked", "code", "param"),
    [
        ({"currency": "usd"}, "parameter_missing", "amount"),
        ({**CARD, "amount": "ten"}, "parameter_invalid_integer", "amount"),
        ({**CARD, "colour": "red"}, "parameter_unknown", "colour"),
        ({**CARD, "customer": "cus_none"}, "resource_missing", "customer"),
    ],
)
async def test_a_wrong_request_names_the_parameter(
    sdk: stripe.StripeClient, asked: Any, code: str, param: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sdk.v1.payment_intents.create_async(asked)

    assert (refused.value.code, refused.value.param) == (code, param)
    assert refused.value.request_id


async def test_an_unknown_id_and_an_unknown_page_are_not_found(
    sdk: stripe.StripeClient, control: httpx.AsyncClient
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sdk.v1.payment_intents.retrieve_async("pi_none")

    assert (refused.value.http_status, refused.value.code) == (404, "resource_missing")
    assert (await control.get("/v1/nothing")).status_code == 404


async def test_another_key_opens_nothing_and_is_not_repeated(
    stripe_server: Simulator, control: httpx.AsyncClient
) -> None:
    secret = "sk_test_guessed_9876"
    answer = await control.post(
        "/v1/customers", headers={"Authorization": f"Bearer {secret}"}
    )

    assert answer.status_code == 401
    ledger = (await control.get("/_simulator/ledger")).json()
    assert secret not in answer.text + str(ledger)
    assert ledger["effects"] == []
    assert ledger["calls"][0]["account"] == "9876"
