"""What the API offers on invoices and their payments."""

from simulators.stripe.account import Account, Json, now
from simulators.stripe.errors import StripeError
from simulators.stripe.intents import OPERATIONS as INTENTS
from simulators.stripe.invoices import (
    create_invoice,
    default_payment,
    finalized,
    paid,
)
from simulators.stripe.params import Params, anything, boolean, text


def finalize_invoice(account: Account, params: Params, id: str) -> Json:
    """POST /v1/invoices/{id}/finalize"""
    params.take(auto_advance=boolean)
    return finalized(account, account.get("invoice", id))


def pay_invoice(account: Account, params: Params, id: str) -> Json:
    """POST /v1/invoices/{id}/pay"""
    given = params.take(payment_method=text, off_session=anything)
    return paid(account, account.get("invoice", id), given.get("payment_method"))


def void_invoice(account: Account, params: Params, id: str) -> Json:
    """POST /v1/invoices/{id}/void: its PaymentIntent is canceled with it."""
    params.take()
    invoice = account.get("invoice", id)
    if invoice["status"] != "open":
        message = "You can only void open invoices."
        raise StripeError.state(message, "invoice_not_editable")
    payment = default_payment(account, invoice)
    cancel = INTENTS["POST /v1/payment_intents/{id}/cancel"]
    cancel(account, Params(""), payment["payment"]["payment_intent"])
    stamps = {"canceled_at": now(), "paid_at": None}
    account.save({**payment, "status": "canceled", "status_transitions": stamps})
    transitions = {**invoice["status_transitions"], "voided_at": now()}
    voided = {"status": "void", "status_transitions": transitions}
    return account.changed("invoice.voided", {**invoice, **voided})


def retrieve_invoice(account: Account, params: Params, id: str) -> Json:
    """GET /v1/invoices/{id}"""
    params.take()
    return account.get("invoice", id)


def list_invoices(account: Account, params: Params, _: str) -> Json:
    """GET /v1/invoices"""
    return account.page(
        "invoice",
        params,
        "/v1/invoices",
        {
            "customer": "customer",
            "status": "status",
            "subscription": "parent.subscription_details.subscription",
        },
    )


def retrieve_payment(account: Account, params: Params, id: str) -> Json:
    """GET /v1/invoice_payments/{id}"""
    params.take()
    return account.get("invoice_payment", id)


def list_payments(account: Account, params: Params, _: str) -> Json:
    """GET /v1/invoice_payments: `payment` names a PaymentIntent."""
    payment = params.given.pop("payment", None)
    if isinstance(payment, dict):
        params.given["payment_intent"] = payment.get("payment_intent", "")
    return account.page(
        "invoice_payment",
        params,
        "/v1/invoice_payments",
        {
            "invoice": "invoice",
            "status": "status",
            "payment_intent": "payment.payment_intent",
        },
    )


OPERATIONS = {
    "POST /v1/invoices": create_invoice,
    "GET /v1/invoices": list_invoices,
    "GET /v1/invoices/{id}": retrieve_invoice,
    "POST /v1/invoices/{id}/finalize": finalize_invoice,
    "POST /v1/invoices/{id}/pay": pay_invoice,
    "POST /v1/invoices/{id}/void": void_invoice,
    "GET /v1/invoice_payments": list_payments,
    "GET /v1/invoice_payments/{id}": retrieve_payment,
}
