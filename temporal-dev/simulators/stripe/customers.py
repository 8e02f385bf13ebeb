"""Customers and their payment methods."""

from simulators.stripe.account import Account, Json, new_id, now
from simulators.stripe.errors import StripeError
from simulators.stripe.params import (
    Params,
    anything,
    merged,
    metadata,
    one_of,
    struct,
    text,
)

# What Stripe's magic payment methods do is told by the last four digits.
CARDS = {
    "pm_card_visa": "4242",
    "pm_card_chargeDeclined": "0002",
    "pm_card_createDispute": "0259",
}
NOBODY = {
    "address": {
        "city": None,
        "country": None,
        "line1": None,
        "line2": None,
        "postal_code": None,
        "state": None,
    },
    "email": None,
    "name": None,
    "phone": None,
    "tax_id": None,
}
_CUSTOMER = {
    "address": anything,
    "description": text,
    "email": text,
    "invoice_settings": struct(default_payment_method=text),
    "metadata": metadata,
    "name": text,
    "payment_method": text,
    "phone": text,
    "preferred_locales": anything,
}


def create_customer(account: Account, params: Params, _: str = "") -> Json:
    """POST /v1/customers"""
    return add_customer(account, **params.take(**_CUSTOMER))


def add_customer(account: Account, **given: object) -> Json:
    """A new customer with these fields."""
    customer: Json = {
        "id": new_id("cus"),
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": now(),
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": None,
        "invoice_prefix": new_id("x")[2:10].upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": {},
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }
    return account.changed("customer.created", _with(account, customer, dict(given)))


def update_customer(account: Account, params: Params, id: str) -> Json:
    """POST /v1/customers/{id}"""
    customer = live_customer(account, id)
    given = params.take(**_CUSTOMER)
    return account.changed("customer.updated", _with(account, customer, given))


def retrieve_customer(account: Account, params: Params, id: str) -> Json:
    """GET /v1/customers/{id}: a deleted one is still there, as deleted."""
    params.take()
    return account.get("customer", id)


def live_customer(account: Account, id: str, param: str = "id") -> Json:
    """Refuses the deleted."""
    customer = account.get("customer", id, param)
    if customer.get("deleted"):
        raise StripeError.missing("customer", id, param)
    return customer


def delete_customer(account: Account, params: Params, id: str) -> Json:
    """DELETE /v1/customers/{id}"""
    params.take()
    live_customer(account, id)
    gone = {"id": id, "object": "customer", "deleted": True, "created": now()}
    account.changed("customer.deleted", gone)
    return {"id": id, "object": "customer", "deleted": True}


def list_customers(account: Account, params: Params, _: str) -> Json:
    """GET /v1/customers"""
    return account.page("customer", params, "/v1/customers", {"email": "email"})


def _with(account: Account, customer: Json, given: Json) -> Json:
    payment_method = given.pop("payment_method", None)
    settings = given.pop("invoice_settings", {})
    tags = merged(customer["metadata"], given.pop("metadata", {}))
    customer = {**customer, **given, "metadata": tags}
    customer["invoice_settings"] = {**customer["invoice_settings"], **settings}
    if payment_method:
        account.save(customer)
        attach(account, payment_method, customer["id"])
    return customer


def create_payment_method(account: Account, params: Params, _: str) -> Json:
    """POST /v1/payment_methods: card numbers are those of Stripe's test cards."""
    card = struct(
        "number",
        number=text,
        exp_month=anything,
        exp_year=anything,
        cvc=anything,
    )
    given = params.take(
        "type",
        "card",
        type=one_of("card"),
        card=card,
        billing_details=anything,
        metadata=metadata,
    )
    method = _card(given["card"]["number"][-4:], given.get("metadata", {}))
    return account.save(method)


def payment_method(account: Account, id: str, param: str = "payment_method") -> Json:
    """The payment method; a magic id makes a new one, as Stripe does."""
    if id in CARDS:
        return account.save(_card(CARDS[id], {}))
    return account.get("payment_method", id, param)


def attach(account: Account, id: str, customer_id: str) -> Json:
    """Ties a payment method to a customer, so that it can be used again."""
    live_customer(account, customer_id, "customer")
    method = payment_method(account, id, "id")
    if method["customer"] == customer_id:
        return method
    if method["customer"]:
        message = "The payment method is already attached to another customer."
        raise StripeError.invalid(
            message, "customer", "payment_method_unexpected_state"
        )
    method["customer"] = customer_id
    return account.changed("payment_method.attached", method)


def attach_payment_method(account: Account, params: Params, id: str) -> Json:
    """POST /v1/payment_methods/{id}/attach"""
    return attach(account, id, params.take("customer", customer=text)["customer"])


def detach_payment_method(account: Account, params: Params, id: str) -> Json:
    """POST /v1/payment_methods/{id}/detach"""
    params.take()
    method = account.get("payment_method", id)
    return account.changed("payment_method.detached", {**method, "customer": None})


def retrieve_payment_method(account: Account, params: Params, id: str) -> Json:
    """GET /v1/payment_methods/{id}"""
    params.take()
    return account.get("payment_method", id)


def list_payment_methods(account: Account, params: Params, _: str) -> Json:
    """GET /v1/payment_methods"""
    filters = {"customer": "customer", "type": "type"}
    return account.page("payment_method", params, "/v1/payment_methods", filters)


def list_payment_methods_of(account: Account, params: Params, id: str) -> Json:
    """GET /v1/customers/{id}/payment_methods"""
    params.given["customer"] = live_customer(account, id)["id"]
    return list_payment_methods(account, params, "")


def _card(last4: str, tags: dict[str, str]) -> Json:
    return {
        "id": new_id("pm"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": NOBODY,
        "card": {
            "brand": "visa",
            "checks": {
                "address_line1_check": None,
                "address_postal_code_check": None,
                "cvc_check": "pass",
            },
            "country": "US",
            "exp_month": 12,
            "exp_year": 2040,
            "fingerprint": f"simulated{last4}",
            "funding": "credit",
            "generated_from": None,
            "last4": last4,
            "networks": {"available": ["visa"], "preferred": None},
            "three_d_secure_usage": {"supported": True},
            "wallet": None,
        },
        "created": now(),
        "customer": None,
        "livemode": False,
        "metadata": tags,
        "type": "card",
    }


OPERATIONS = {
    "POST /v1/customers": create_customer,
    "GET /v1/customers": list_customers,
    "GET /v1/customers/{id}": retrieve_customer,
    "POST /v1/customers/{id}": update_customer,
    "DELETE /v1/customers/{id}": delete_customer,
    "GET /v1/customers/{id}/payment_methods": list_payment_methods_of,
    "POST /v1/payment_methods": create_payment_method,
    "GET /v1/payment_methods": list_payment_methods,
    "GET /v1/payment_methods/{id}": retrieve_payment_method,
    "POST /v1/payment_methods/{id}/attach": attach_payment_method,
    "POST /v1/payment_methods/{id}/detach": detach_payment_method,
}
