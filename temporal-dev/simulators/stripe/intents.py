"""PaymentIntents: from the wish to be paid to the charge that did it."""

from typing import Any

from simulators.stripe.account import Account, Json, new_id, now
from simulators.stripe.charges import charge
from simulators.stripe.customers import attach, live_customer, payment_method
from simulators.stripe.errors import StripeError
from simulators.stripe.params import (
    Params,
    anything,
    boolean,
    integer,
    merged,
    metadata,
    one_of,
    text,
)

_CHANGEABLE = {
    "customer": text,
    "description": text,
    "metadata": metadata,
    "payment_method": text,
    "receipt_email": text,
    "setup_future_usage": one_of("off_session", "on_session"),
}
_CONFIRM = {"off_session": anything, "return_url": text, "mandate_data": anything}


def create_intent(account: Account, params: Params, _: str) -> Json:
    """POST /v1/payment_intents"""
    given = params.take(
        "amount",
        "currency",
        amount=integer,
        currency=text,
        automatic_payment_methods=anything,
        capture_method=one_of("automatic", "automatic_async", "manual"),
        confirm=boolean,
        confirmation_method=one_of("automatic", "manual"),
        payment_method_types=anything,
        **_CHANGEABLE,
        **_CONFIRM,
    )
    confirm = given.pop("confirm", False)
    intent = add_intent(account, **_without(given, _CONFIRM))
    return confirmed(account, intent) if confirm else intent


def add_intent(account: Account, **given: Any) -> Json:
    """A new PaymentIntent with these fields. Raises `StripeError`."""
    if given["amount"] < 1:
        message = "This value must be greater than or equal to 1."
        raise StripeError.invalid(message, "amount", "parameter_invalid_integer")
    if given.get("customer"):
        live_customer(account, given["customer"], "customer")
    id = new_id("pi")
    intent: Json = {
        "id": id,
        "object": "payment_intent",
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": None,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic",
        "client_secret": f"{id}_secret_{new_id('x')[2:]}",
        "confirmation_method": "automatic",
        "created": now(),
        "customer": None,
        "description": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "payment_record": None,
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "source": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
    }
    if automatic := given.pop("automatic_payment_methods", None):
        given["automatic_payment_methods"] = {"enabled": automatic["enabled"] == "true"}
    given["currency"] = given["currency"].lower()
    intent = _with_method(account, {**intent, **given})
    return account.changed("payment_intent.created", intent)


def _with_method(account: Account, intent: Json) -> Json:
    if not intent["payment_method"]:
        return intent
    method = payment_method(account, intent["payment_method"])
    if method["customer"] and method["customer"] != intent["customer"]:
        message = "The PaymentMethod belongs to another Customer."
        raise StripeError.invalid(message, "payment_method")
    intent = {**intent, "payment_method": method["id"]}
    if intent["status"] == "requires_payment_method":
        intent["status"] = "requires_confirmation"
    return intent


def confirmed(account: Account, intent: Json) -> Json:
    """Charges the card. A declined one raises after all of it is written down."""
    _must_be(intent, "requires_payment_method", "requires_confirmation")
    if not intent["payment_method"]:
        raise StripeError.state(
            "This PaymentIntent cannot be confirmed: it has no payment method.",
            "payment_intent_unexpected_state",
        )
    method = account.get("payment_method", intent["payment_method"], "payment_method")
    capture = intent["capture_method"] != "manual"
    charged = charge(account, intent, method, capture=capture)
    intent = {**intent, "latest_charge": charged["id"]}
    if charged["status"] == "failed":
        raise _declined(account, intent, method)
    if intent["setup_future_usage"] and intent["customer"]:
        attach(account, method["id"], intent["customer"])
    if capture:
        received = {"status": "succeeded", "amount_received": intent["amount"]}
        return account.changed("payment_intent.succeeded", {**intent, **received})
    held = {"status": "requires_capture", "amount_capturable": intent["amount"]}
    event = "payment_intent.amount_capturable_updated"
    return account.changed(event, {**intent, **held})


def _declined(account: Account, intent: Json, method: Json) -> StripeError:
    error = {
        "charge": intent["latest_charge"],
        "code": "card_declined",
        "decline_code": "generic_decline",
        "message": "Your card was declined.",
        "type": "card_error",
    }
    failed = {
        **intent,
        "last_payment_error": {**error, "payment_method": method},
        "payment_method": None,
        "status": "requires_payment_method",
    }
    account.changed("payment_intent.payment_failed", failed)
    return StripeError(
        402,
        error["message"],
        code=error["code"],
        type="card_error",
        executed=True,
        decline_code=error["decline_code"],
        charge=error["charge"],
        payment_intent=failed,
    )


def confirm_intent(account: Account, params: Params, id: str) -> Json:
    """POST /v1/payment_intents/{id}/confirm"""
    intent = account.get("payment_intent", id)
    given = _without(params.take(**_CHANGEABLE, **_CONFIRM), _CONFIRM)
    return confirmed(account, _with_method(account, {**intent, **given}))


def update_intent(account: Account, params: Params, id: str) -> Json:
    """POST /v1/payment_intents/{id}"""
    intent = account.get("payment_intent", id)
    given = params.take(amount=integer, **_CHANGEABLE)
    if given.keys() & {"amount", "customer", "payment_method"}:
        _must_be(intent, "requires_payment_method", "requires_confirmation")
    given["metadata"] = merged(intent["metadata"], given.get("metadata", {}))
    intent = {**intent, **given}
    if "payment_method" in given:
        intent = _with_method(account, intent)
    return account.save(intent)


def capture_intent(account: Account, params: Params, id: str) -> Json:
    """POST /v1/payment_intents/{id}/capture"""
    intent = account.get("payment_intent", id)
    given = params.take(amount_to_capture=integer, metadata=metadata)
    _must_be(intent, "requires_capture")
    held: int = intent["amount_capturable"]
    amount: int = given.get("amount_to_capture", held)
    if not 0 < amount <= held:
        message = "The amount to capture is more than what was authorized."
        raise StripeError.state(message, "amount_too_large")
    charged = account.get("charge", intent["latest_charge"])
    account.changed(
        "charge.captured", {**charged, "captured": True, "amount_captured": amount}
    )
    captured = {
        "status": "succeeded",
        "amount_received": amount,
        "amount_capturable": 0,
    }
    return account.changed("payment_intent.succeeded", {**intent, **captured})


def cancel_intent(account: Account, params: Params, id: str) -> Json:
    """POST /v1/payment_intents/{id}/cancel"""
    intent = account.get("payment_intent", id)
    given = params.take(cancellation_reason=text)
    _must_be(
        intent, "requires_payment_method", "requires_confirmation", "requires_capture"
    )
    canceled = {"status": "canceled", "canceled_at": now(), "amount_capturable": 0}
    return account.changed("payment_intent.canceled", {**intent, **canceled, **given})


def retrieve_intent(account: Account, params: Params, id: str) -> Json:
    """GET /v1/payment_intents/{id}"""
    params.take(client_secret=text)
    return account.get("payment_intent", id)


def list_intents(account: Account, params: Params, _: str) -> Json:
    """GET /v1/payment_intents"""
    filters = {"customer": "customer"}
    return account.page("payment_intent", params, "/v1/payment_intents", filters)


def _must_be(intent: Json, *states: str) -> None:
    if intent["status"] not in states:
        raise StripeError.state(
            f"This PaymentIntent's status is {intent['status']}; it must be one of"
            f" {', '.join(states)}.",
            "payment_intent_unexpected_state",
            payment_intent=intent,
        )


def _without(given: Json, names: dict[str, Any]) -> Json:
    return {k: v for k, v in given.items() if k not in names}


OPERATIONS = {
    "POST /v1/payment_intents": create_intent,
    "GET /v1/payment_intents": list_intents,
    "GET /v1/payment_intents/{id}": retrieve_intent,
    "POST /v1/payment_intents/{id}": update_intent,
    "POST /v1/payment_intents/{id}/confirm": confirm_intent,
    "POST /v1/payment_intents/{id}/capture": capture_intent,
    "POST /v1/payment_intents/{id}/cancel": cancel_intent,
}
