"""Checkout Sessions: Stripe's hosted page, paid by a click."""

from typing import Any

from simulators.stripe.account import Account, Json, listed, new_id, now
from simulators.stripe.catalogue import PRICE_DATA, priced
from simulators.stripe.customers import (
    add_customer,
    attach,
    live_customer,
    payment_method,
)
from simulators.stripe.errors import StripeError
from simulators.stripe.intents import add_intent, confirmed
from simulators.stripe.params import (
    Params,
    anything,
    array,
    integer,
    metadata,
    one_of,
    struct,
    text,
)
from simulators.stripe.subscriptions import add_subscription

_LINE = struct(
    price=text, price_data=PRICE_DATA, quantity=integer, adjustable_quantity=anything
)
_INTENT_DATA = struct(
    capture_method=one_of("automatic", "manual"),
    description=text,
    metadata=metadata,
    receipt_email=text,
    setup_future_usage=one_of("off_session", "on_session"),
)


def create_session(account: Account, params: Params, _: str) -> Json:
    """POST /v1/checkout/sessions: `url` leads to a page of the simulator."""
    given = params.take(
        "mode",
        "line_items",
        "success_url",
        mode=one_of("payment", "subscription"),
        line_items=array(_LINE),
        success_url=text,
        cancel_url=text,
        client_reference_id=text,
        customer=text,
        customer_creation=one_of("always", "if_required"),
        customer_email=text,
        expires_at=integer,
        metadata=metadata,
        payment_intent_data=_INTENT_DATA,
        payment_method_types=anything,
        subscription_data=struct(metadata=metadata, description=text),
    )
    if given.get("customer"):
        live_customer(account, given["customer"], "customer")
    later = {
        "payment_intent_data": given.pop("payment_intent_data", {}),
        "subscription_data": given.pop("subscription_data", {}),
    }
    lines = [_line(account, i, each) for i, each in enumerate(given.pop("line_items"))]
    session = _blank(lines, given)
    plan = {"object": "_checkout", "id": session["id"], "lines": lines, **later}
    account.save(plan)
    return account.save(session)


def _line(account: Account, index: int, given: Json) -> Json:
    price = priced(account, given, f"line_items[{index}]")
    quantity = given.get("quantity", 1)
    amount = price["unit_amount"] * quantity
    product = account.get("product", price["product"])
    return {
        "id": new_id("li"),
        "object": "item",
        "amount_discount": 0,
        "amount_subtotal": amount,
        "amount_tax": 0,
        "amount_total": amount,
        "currency": price["currency"],
        "description": product["name"],
        "price": price,
        "quantity": quantity,
    }


def _blank(lines: list[Json], given: Json) -> Json:
    total = sum(line["amount_total"] for line in lines)
    id = f"cs_test_{new_id('x')[2:]}"
    session: Json = {
        "id": id,
        "object": "checkout.session",
        "after_expiration": None,
        "allow_promotion_codes": None,
        "amount_subtotal": total,
        "amount_total": total,
        "automatic_tax": {
            "enabled": False,
            "liability": None,
            "provider": None,
            "status": None,
        },
        "billing_address_collection": None,
        "cancel_url": None,
        "client_reference_id": None,
        "client_secret": None,
        "consent": None,
        "consent_collection": None,
        "created": now(),
        "currency": lines[0]["currency"],
        "currency_conversion": None,
        "custom_fields": [],
        "custom_text": {
            "after_submit": None,
            "shipping_address": None,
            "submit": None,
            "terms_of_service_acceptance": None,
        },
        "customer": None,
        "customer_creation": "if_required",
        "customer_details": None,
        "customer_email": None,
        "expires_at": now() + 86400,
        "invoice": None,
        "invoice_creation": None,
        "livemode": False,
        "locale": None,
        "metadata": {},
        "origin_context": None,
        "payment_intent": None,
        "payment_link": None,
        "payment_method_collection": "always",
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "payment_status": "unpaid",
        "phone_number_collection": {"enabled": False},
        "recovered_from": None,
        "redirect_on_completion": "always",
        "setup_intent": None,
        "shipping_address_collection": None,
        "shipping_cost": None,
        "shipping_options": [],
        "status": "open",
        "submit_type": None,
        "subscription": None,
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted",
        "url": f"/_simulator/checkout/{id}",
    }
    return {**session, **given}


def pay(account: Account, id: str, *, card: str, email: str | None) -> Json:
    """What happens when the buyer clicks. A declined card leaves the session open."""
    session = account.get("checkout.session", id)
    if session["status"] != "open":
        message = f"This Checkout Session is {session['status']}."
        raise StripeError.state(message, "checkout_session_not_open")
    email = email or session["customer_email"]
    customer = session["customer"]
    if not customer and (
        session["mode"] == "subscription" or session["customer_creation"] == "always"
    ):
        customer = add_customer(account, email=email)["id"]
    plan = account.get("_checkout", id)
    if session["mode"] == "payment":
        settled = _one_payment(account, session, plan, customer, card)
    else:
        settled = _subscribed(account, plan, customer, card)
    session = {
        **session,
        **settled,
        "customer": customer,
        "customer_details": {
            "address": None,
            "email": email,
            "name": None,
            "phone": None,
            "tax_exempt": "none",
            "tax_ids": [],
        },
        "payment_status": "paid",
        "status": "complete",
        "url": None,
    }
    return account.changed("checkout.session.completed", session)


def _one_payment(
    account: Account, session: Json, plan: Json, customer: str | None, card: str
) -> dict[str, Any]:
    intent = add_intent(
        account,
        amount=session["amount_total"],
        currency=session["currency"],
        customer=customer,
        payment_method=card,
        **plan["payment_intent_data"],
    )
    return {"payment_intent": confirmed(account, intent)["id"]}


def _subscribed(
    account: Account, plan: Json, customer: str, card: str
) -> dict[str, Any]:
    method = attach(account, payment_method(account, card)["id"], customer)
    items = [
        {"price": line["price"]["id"], "quantity": line["quantity"]}
        for line in plan["lines"]
    ]
    made = add_subscription(
        account,
        items,
        customer=customer,
        default_payment_method=method["id"],
        payment_behavior="error_if_incomplete",
        **plan["subscription_data"],
    )
    return {"subscription": made["id"], "invoice": made["latest_invoice"]}


def expire_session(account: Account, params: Params, id: str) -> Json:
    """POST /v1/checkout/sessions/{id}/expire"""
    params.take()
    session = account.get("checkout.session", id)
    if session["status"] != "open":
        message = "Only Checkout Sessions with a status of open can be expired."
        raise StripeError.state(message, "checkout_session_not_open")
    expired = {"status": "expired", "url": None}
    return account.changed("checkout.session.expired", {**session, **expired})


def retrieve_session(account: Account, params: Params, id: str) -> Json:
    """GET /v1/checkout/sessions/{id}"""
    params.take()
    return account.get("checkout.session", id)


def list_sessions(account: Account, params: Params, _: str) -> Json:
    """GET /v1/checkout/sessions"""
    filters = {k: k for k in ("customer", "payment_intent", "subscription", "status")}
    url = "/v1/checkout/sessions"
    return account.page("checkout.session", params, url, filters)


def list_lines(account: Account, params: Params, id: str) -> Json:
    """GET /v1/checkout/sessions/{id}/line_items"""
    given = params.take(limit=integer, starting_after=text, ending_before=text)
    account.get("checkout.session", id)
    url = f"/v1/checkout/sessions/{id}/line_items"
    lines = account.get("_checkout", id)["lines"]
    return listed(list(reversed(lines)), url, given)


OPERATIONS = {
    "POST /v1/checkout/sessions": create_session,
    "GET /v1/checkout/sessions": list_sessions,
    "GET /v1/checkout/sessions/{id}": retrieve_session,
    "GET /v1/checkout/sessions/{id}/line_items": list_lines,
    "POST /v1/checkout/sessions/{id}/expire": expire_session,
}
