"""Every object the simulator answers is one that Stripe could have answered."""

from contextlib import suppress
from typing import Any

import httpx
import stripe

from tests.simulators.stripe_shapes import SDK, faults_of, objects_in

PAGES = (
    "charges",
    "checkout/sessions",
    "customers",
    "disputes",
    "events",
    "invoice_payments",
    "invoiceitems",
    "invoices",
    "payment_intents",
    "payment_methods",
    "prices",
    "products",
    "refunds",
    "subscriptions",
)


async def everything_happens(
    sdk: stripe.StripeClient, control: httpx.AsyncClient
) -> list[httpx.Response]:
    """A life of every kind of object; returns what no list shows afterwards."""
    v1 = sdk.v1
    customer = await v1.customers.create_async({"email": "a@example.test", "name": "A"})
    method = await v1.payment_methods.attach_async(
        "pm_card_visa", {"customer": customer.id}
    )
    settings: Any = {"invoice_settings": {"default_payment_method": method.id}}
    await v1.customers.update_async(customer.id, settings)
    monthly = await v1.prices.create_async(
        {
            "currency": "usd",
            "unit_amount": 1999,
            "recurring": {"interval": "month"},
            "product_data": {"name": "WordPress Growth"},
        }
    )
    subscription = await v1.subscriptions.create_async(
        {"customer": customer.id, "items": [{"price": monthly.id}]}
    )
    await control.post(f"/_simulator/subscriptions/{subscription.id}/renew")
    await v1.invoice_items.create_async(
        {"customer": customer.id, "amount": 500, "currency": "usd"}
    )
    draft = await v1.invoices.create_async(
        {"customer": customer.id, "pending_invoice_items_behavior": "include"}
    )
    await v1.invoices.pay_async(draft.id)
    spoiled = await v1.invoices.create_async({"customer": customer.id})
    await v1.invoice_items.create_async(
        {"customer": customer.id, "invoice": spoiled.id, "amount": 1}
    )
    await v1.invoices.finalize_invoice_async(spoiled.id)
    await v1.invoices.void_invoice_async(spoiled.id)
    await v1.payment_intents.create_async({"amount": 700, "currency": "eur"})
    for card in ("pm_card_visa", "pm_card_createDispute"):
        await v1.payment_intents.create_async(
            {
                "amount": 1000,
                "currency": "usd",
                "customer": customer.id,
                "payment_method": card,
                "confirm": True,
                "metadata": {"order_id": "o1"},
            }
        )
    with suppress(stripe.CardError):
        await v1.payment_intents.create_async(
            {
                "amount": 1,
                "currency": "usd",
                "payment_method": "pm_card_chargeDeclined",
                "confirm": True,
            }
        )
    paid = (await v1.charges.list_async({"limit": 3})).data[2]
    await v1.refunds.create_async({"charge": paid.id, "amount": 300})
    seen = []
    for mode, price in (("payment", None), ("subscription", monthly.id)):
        data = {"currency": "usd", "unit_amount": 5, "product_data": {"name": "Mug"}}
        line: Any = {"price": price} if price else {"price_data": data, "quantity": 2}
        session = await v1.checkout.sessions.create_async(
            {
                "mode": mode,
                "line_items": [line],
                "success_url": "http://127.0.0.1/ok",
                "customer_email": "b@example.test",
            }
        )
        path = f"/v1/checkout/sessions/{session.id}"
        seen += [await control.get(path), await control.get(f"{path}/line_items")]
        seen.append(await control.post(f"/_simulator/checkout/{session.id}/pay"))
    await v1.subscriptions.cancel_async(subscription.id)
    return seen


async def test_every_object_validates_against_stripes_schema_and_sdk(
    sdk: stripe.StripeClient, control: httpx.AsyncClient
) -> None:
    answers = await everything_happens(sdk, control)
    for page in PAGES:
        answers.append(answer := await control.get(f"/v1/{page}?limit=100"))
        assert answer.json()["data"], page

    objects = objects_in([answer.json() for answer in answers])

    assert {fault for each in objects for fault in faults_of(each)} == set()
    assert {each["object"] for each in objects} == set(SDK)


async def test_a_wrong_shape_is_noticed(
    sdk: stripe.StripeClient, control: httpx.AsyncClient
) -> None:
    intent = await sdk.v1.payment_intents.create_async({"amount": 1, "currency": "usd"})
    body = intent.to_dict()

    assert faults_of(body) == []
    assert faults_of({**body, "amount": "1"}) != []
    assert faults_of({**body, "status": "fine"}) != []
    assert faults_of({k: v for k, v in body.items() if k != "latest_charge"}) != []
    assert faults_of({**body, "charges": []}) != []
