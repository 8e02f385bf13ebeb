"""Invoices, their lines, and the payments that settle them.

Since 2025 an invoice names no PaymentIntent: `invoice_payments` tie the two.
"""

from typing import Any

from simulators.stripe.account import Account, Json, new_id, now
from simulators.stripe.customers import live_customer, payment_method
from simulators.stripe.errors import StripeError
from simulators.stripe.intents import add_intent, confirmed
from simulators.stripe.invoice_items import line_of, must_be, with_lines
from simulators.stripe.params import (
    Params,
    boolean,
    integer,
    metadata,
    one_of,
    text,
)

PLAIN_TAX: Json = {
    "disabled_reason": None,
    "enabled": False,
    "liability": None,
    "provider": None,
    "status": None,
}


def create_invoice(account: Account, params: Params, _: str) -> Json:
    """POST /v1/invoices: takes up the customer's waiting items."""
    given = params.take(
        "customer",
        customer=text,
        auto_advance=boolean,
        collection_method=one_of("charge_automatically", "send_invoice"),
        currency=text,
        days_until_due=integer,
        default_payment_method=text,
        description=text,
        metadata=metadata,
        pending_invoice_items_behavior=one_of("exclude", "include"),
    )
    waiting = given.pop("pending_invoice_items_behavior", "exclude") == "include"
    if days := given.pop("days_until_due", None):
        given["due_date"] = now() + days * 86400
    invoice = _blank(account, given.pop("customer"), **given)
    account.save(invoice)
    lines = [
        line_of(account, invoice, item)
        for item in (account.store.each("invoiceitem") if waiting else [])
        if item["customer"] == invoice["customer"] and not item["invoice"]
    ]
    return account.changed("invoice.created", with_lines(invoice, lines))


def add_invoice(
    account: Account, customer_id: str, lines_for: Any, **given: Any
) -> Json:
    """A draft whose lines `lines_for(invoice_id)` makes."""
    invoice = _blank(account, customer_id, **given)
    filled = with_lines(invoice, lines_for(invoice["id"]))
    return account.changed("invoice.created", filled)


def _blank(account: Account, customer_id: str, **given: Any) -> Json:
    customer = live_customer(account, customer_id, "customer")
    id = new_id("in")
    invoice: Json = {
        "id": id,
        "object": "invoice",
        "account_country": "US",
        "account_name": "MigraHosting",
        "account_tax_ids": None,
        "amount_due": 0,
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_remaining": 0,
        "amount_shipping": 0,
        "application": None,
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": False,
        "automatic_tax": PLAIN_TAX,
        "automatically_finalizes_at": None,
        "billing_reason": "manual",
        "collection_method": "charge_automatically",
        "created": now(),
        "currency": "usd",
        "custom_fields": None,
        "customer": customer_id,
        "customer_address": None,
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_phone": None,
        "customer_shipping": None,
        "customer_tax_exempt": "none",
        "customer_tax_ids": [],
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "due_date": None,
        "effective_at": None,
        "ending_balance": None,
        "footer": None,
        "from_invoice": None,
        "hosted_invoice_url": None,
        "invoice_pdf": None,
        "issuer": {"type": "self"},
        "last_finalization_error": None,
        "latest_revision": None,
        "lines": {
            "object": "list",
            "data": [],
            "has_more": False,
            "url": f"/v1/invoices/{id}/lines",
        },
        "livemode": False,
        "metadata": {},
        "next_payment_attempt": None,
        "number": None,
        "on_behalf_of": None,
        "parent": None,
        "payment_settings": {
            "default_mandate": None,
            "payment_method_options": None,
            "payment_method_types": None,
        },
        "period_end": now(),
        "period_start": now(),
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "receipt_number": None,
        "rendering": None,
        "shipping_cost": None,
        "shipping_details": None,
        "starting_balance": 0,
        "statement_descriptor": None,
        "status": "draft",
        "status_transitions": {
            "finalized_at": None,
            "marked_uncollectible_at": None,
            "paid_at": None,
            "voided_at": None,
        },
        "subtotal": 0,
        "subtotal_excluding_tax": 0,
        "test_clock": None,
        "total": 0,
        "total_discount_amounts": [],
        "total_excluding_tax": 0,
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
        "webhooks_delivered_at": None,
    }
    return {**invoice, **given}


def finalized(account: Account, invoice: Json) -> Json:
    """The draft becomes due, with the PaymentIntent that will settle it."""
    must_be(invoice, "draft")
    number = (
        f"{invoice['customer'][-8:].upper()}-{len(account.store.each('invoice')):04}"
    )
    invoice = _in_state(invoice, "open", "finalized_at")
    invoice = {**invoice, "number": number, "effective_at": now()}
    account.changed("invoice.finalized", invoice)
    if invoice["amount_due"] == 0:
        return _settled(account, invoice)
    intent = add_intent(
        account,
        amount=invoice["amount_due"],
        currency=invoice["currency"],
        customer=invoice["customer"],
        description=f"Invoice {number}",
    )
    account.save(
        {
            "id": new_id("inpay"),
            "object": "invoice_payment",
            "amount_paid": None,
            "amount_requested": invoice["amount_due"],
            "created": now(),
            "currency": invoice["currency"],
            "invoice": invoice["id"],
            "is_default": True,
            "livemode": False,
            "payment": {"type": "payment_intent", "payment_intent": intent["id"]},
            "status": "open",
            "status_transitions": {"canceled_at": None, "paid_at": None},
        }
    )
    return invoice


def paid(account: Account, invoice: Json, method_id: str | None = None) -> Json:
    """Charges what is due. A declined card raises after it is written down."""
    if invoice["status"] == "draft":
        invoice = finalized(account, invoice)
    if invoice["status"] == "paid":
        raise StripeError.state("Invoice is already paid", "invoice_already_paid")
    must_be(invoice, "open")
    customer = account.get("customer", invoice["customer"])
    usual = customer["invoice_settings"]["default_payment_method"]
    method_id = method_id or invoice["default_payment_method"] or usual
    if not method_id:
        message = (
            "This customer has no attached payment source or default payment method"
        )
        raise StripeError.state(message, "resource_missing")
    payment = default_payment(account, invoice)
    intent = account.get("payment_intent", payment["payment"]["payment_intent"])
    intent["payment_method"] = payment_method(account, method_id)["id"]
    tried = {"attempted": True, "attempt_count": invoice["attempt_count"] + 1}
    invoice = {**invoice, **tried}
    try:
        confirmed(account, intent)
    except StripeError:
        account.changed("invoice.payment_failed", invoice)
        raise
    done = {"canceled_at": None, "paid_at": now()}
    amount = invoice["amount_due"]
    settled = {"status": "paid", "amount_paid": amount, "status_transitions": done}
    account.changed("invoice_payment.paid", {**payment, **settled})
    return _settled(account, invoice)


def default_payment(account: Account, invoice: Json) -> Json:
    """The payment that an open invoice waits for."""
    payments = account.store.each("invoice_payment")
    return next(p for p in payments if p["invoice"] == invoice["id"])


def _settled(account: Account, invoice: Json) -> Json:
    invoice = {
        **_in_state(invoice, "paid", "paid_at"),
        "amount_paid": invoice["amount_due"],
        "amount_remaining": 0,
    }
    account.changed("invoice.paid", invoice)
    return account.changed("invoice.payment_succeeded", invoice)


def _in_state(invoice: Json, status: str, stamp: str) -> Json:
    stamps = {**invoice["status_transitions"], stamp: now()}
    return {**invoice, "status": status, "status_transitions": stamps}
