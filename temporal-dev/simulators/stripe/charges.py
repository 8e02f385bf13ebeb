"""Charges: what a card really paid, and disputes about it."""

from simulators.stripe.account import Account, Json, new_id, now
from simulators.stripe.customers import NOBODY
from simulators.stripe.errors import StripeError
from simulators.stripe.params import Params

_DECLINED, _DISPUTED = "0002", "0259"


def charge(account: Account, intent: Json, method: Json, *, capture: bool) -> Json:
    """Charges the intent's amount; whether it worked stands in `status`."""
    works = method["card"]["last4"] != _DECLINED
    amount = intent["amount"]
    made = {
        "id": new_id("ch"),
        "object": "charge",
        "amount": amount,
        "amount_captured": amount if works and capture else 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": NOBODY,
        "calculated_statement_descriptor": "SIMULATED",
        "captured": works and capture,
        "created": now(),
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": None if works else "card_declined",
        "failure_message": None if works else "Your card was declined.",
        "fraud_details": {},
        "livemode": False,
        "metadata": intent["metadata"],
        "on_behalf_of": None,
        "outcome": _outcome(works),
        "paid": works,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": {"type": "card", "card": _card(method)},
        "receipt_email": intent["receipt_email"],
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "review": None,
        "shipping": None,
        "source": None,
        "source_transfer": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "succeeded" if works else "failed",
        "transfer_data": None,
        "transfer_group": None,
    }
    account.changed(f"charge.{made['status']}", made)
    if method["card"]["last4"] == _DISPUTED:
        dispute(account, made)
    return made


def _outcome(works: bool) -> Json:
    return {
        "network_status": "approved_by_network" if works else "declined_by_network",
        "reason": None if works else "generic_decline",
        "risk_level": "normal",
        "seller_message": "Payment complete." if works else "The bank said no.",
        "type": "authorized" if works else "issuer_declined",
    }


def _card(method: Json) -> Json:
    names = ("brand", "checks", "country", "exp_month", "exp_year", "fingerprint")
    kept = {name: method["card"][name] for name in (*names, "funding", "last4")}
    nothing = {"installments": None, "mandate": None, "three_d_secure": None}
    return {**kept, **nothing, "network": "visa", "wallet": None}


def dispute(account: Account, charged: Json) -> Json:
    """The cardholder disputes the charge."""
    account.save({**charged, "disputed": True})
    made = {
        "id": new_id("dp"),
        "object": "dispute",
        "amount": charged["amount"],
        "balance_transactions": [],
        "charge": charged["id"],
        "created": now(),
        "currency": charged["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {},
        "evidence_details": {
            "due_by": now() + 7 * 86400,
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "payment_intent": charged["payment_intent"],
        "reason": "fraudulent",
        "status": "needs_response",
    }
    return account.changed("charge.dispute.created", made)


def latest_charge(account: Account, intent: Json) -> Json:
    """The charge that paid the intent. Raises `StripeError` if nothing did."""
    charged = account.find("charge", intent["latest_charge"] or "")
    if not charged or charged["status"] != "succeeded":
        raise StripeError.state(
            f"This PaymentIntent ({intent['id']}) does not have a successful charge.",
            "payment_intent_unexpected_state",
        )
    return charged


def retrieve_charge(account: Account, params: Params, id: str) -> Json:
    """GET /v1/charges/{id}"""
    params.take()
    return account.get("charge", id)


def list_charges(account: Account, params: Params, _: str) -> Json:
    """GET /v1/charges"""
    filters = {name: name for name in ("customer", "payment_intent")}
    return account.page("charge", params, "/v1/charges", filters)


def retrieve_dispute(account: Account, params: Params, id: str) -> Json:
    """GET /v1/disputes/{id}"""
    params.take()
    return account.get("dispute", id)


def list_disputes(account: Account, params: Params, _: str) -> Json:
    """GET /v1/disputes"""
    filters = {name: name for name in ("charge", "payment_intent")}
    return account.page("dispute", params, "/v1/disputes", filters)


OPERATIONS = {
    "GET /v1/charges": list_charges,
    "GET /v1/charges/{id}": retrieve_charge,
    "GET /v1/disputes": list_disputes,
    "GET /v1/disputes/{id}": retrieve_dispute,
}
