"""Refunds: never more than was paid."""

from simulators.stripe.account import Account, Json, new_id, now
from simulators.stripe.charges import latest_charge
from simulators.stripe.errors import StripeError
from simulators.stripe.params import Params, integer, merged, metadata, one_of, text


def create_refund(account: Account, params: Params, _: str) -> Json:
    """POST /v1/refunds"""
    given = params.take(
        amount=integer,
        charge=text,
        metadata=metadata,
        payment_intent=text,
        reason=one_of("duplicate", "fraudulent", "requested_by_customer"),
    )
    charged = _charge(account, given)
    amount = _amount(charged, given.get("amount"))
    refund: Json = {
        "id": new_id("re"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charged["id"],
        "created": now(),
        "currency": charged["currency"],
        "customer": charged["customer"],
        "destination_details": {
            "card": {
                "reference_status": "pending",
                "reference_type": "acquirer_reference_number",
                "type": "refund",
            },
            "type": "card",
        },
        "metadata": given.get("metadata", {}),
        "payment_intent": charged["payment_intent"],
        "payment_method": charged["payment_method"],
        "pending_reason": None,
        "reason": given.get("reason"),
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }
    account.changed("refund.created", refund)
    refunded = charged["amount_refunded"] + amount
    account.changed(
        "charge.refunded",
        {
            **charged,
            "amount_refunded": refunded,
            "refunded": refunded == charged["amount_captured"],
        },
    )
    return refund


def fail_refund(account: Account, _: Json, id: str) -> Json:
    """The customer's bank does not take it: the money is ours again."""
    refund = account.get("refund", id)
    charged = account.get("charge", refund["charge"])
    left = charged["amount_refunded"] - refund["amount"]
    account.save({**charged, "amount_refunded": left, "refunded": False})
    why = {"status": "failed", "failure_reason": "lost_or_stolen_card"}
    return account.changed("refund.failed", {**refund, **why})


def _charge(account: Account, given: Json) -> Json:
    if given.get("charge"):
        return account.get("charge", given["charge"], "charge")
    if given.get("payment_intent"):
        id = given["payment_intent"]
        return latest_charge(
            account, account.get("payment_intent", id, "payment_intent")
        )
    message = "One of payment_intent and charge must be provided."
    raise StripeError.invalid(message, "payment_intent", "parameter_missing")


def _amount(charged: Json, wanted: int | None) -> int:
    left = charged["amount_captured"] - charged["amount_refunded"]
    if charged["disputed"]:
        message = (
            f"Charge {charged['id']} has been charged back; cannot issue a refund."
        )
        raise StripeError.state(message, "charge_disputed")
    if left == 0:
        message = f"Charge {charged['id']} has already been refunded."
        raise StripeError.state(message, "charge_already_refunded")
    amount: int = left if wanted is None else wanted
    if amount < 1:
        message = "This value must be greater than or equal to 1."
        raise StripeError.invalid(message, "amount", "parameter_invalid_integer")
    if amount > left:
        raise StripeError.state(
            f"Refund amount ({amount}) is greater than unrefunded amount on charge"
            f" ({left}).",
            "",
            param="amount",
        )
    return amount


def update_refund(account: Account, params: Params, id: str) -> Json:
    """POST /v1/refunds/{id}"""
    refund = account.get("refund", id)
    given = params.take(metadata=metadata)
    tags = merged(refund["metadata"], given.get("metadata", {}))
    return account.changed("refund.updated", {**refund, "metadata": tags})


def retrieve_refund(account: Account, params: Params, id: str) -> Json:
    """GET /v1/refunds/{id}"""
    params.take()
    return account.get("refund", id)


def list_refunds(account: Account, params: Params, _: str) -> Json:
    """GET /v1/refunds"""
    filters = {name: name for name in ("charge", "payment_intent")}
    return account.page("refund", params, "/v1/refunds", filters)


OPERATIONS = {
    "POST /v1/refunds": create_refund,
    "GET /v1/refunds": list_refunds,
    "GET /v1/refunds/{id}": retrieve_refund,
    "POST /v1/refunds/{id}": update_refund,
}
