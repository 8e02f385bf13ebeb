"""Whether an object looks like Stripe's: by its published schema and by the SDK.

The schema is of API 2023-08-16, the last that is small enough to keep; what Stripe has
taken away since then is allowed to be absent. What came since is known to the SDK.
"""

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

import stripe
from jsonschema import Draft202012Validator

_SPEC = Path(__file__).with_name("stripe-openapi.json.gz")
_GONE = {
    "invoice": {"paid", "paid_out_of_band", "total_tax_amounts"},
    "line_item": {"proration", "type"},
    "subscription": {"current_period_end", "current_period_start"},
    "product": {"features"},
}
# Typed as always there, and left out by Stripe when there is nothing to say.
_LEFT_OUT = {"charge.transfer", "refund.failure_balance_transaction"}
SDK = {
    "charge": stripe.Charge,
    "checkout.session": stripe.checkout.Session,
    "customer": stripe.Customer,
    "dispute": stripe.Dispute,
    "event": stripe.Event,
    "invoice": stripe.Invoice,
    "invoice_payment": stripe.InvoicePayment,
    "invoiceitem": stripe.InvoiceItem,
    "item": stripe.LineItem,
    "line_item": stripe.InvoiceLineItem,
    "payment_intent": stripe.PaymentIntent,
    "payment_method": stripe.PaymentMethod,
    "price": stripe.Price,
    "product": stripe.Product,
    "refund": stripe.Refund,
    "subscription": stripe.Subscription,
    "subscription_item": stripe.SubscriptionItem,
}


def _without_nullable(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_nullable(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {k: _without_nullable(v) for k, v in schema.items() if k != "nullable"}
    nullable = schema.get("nullable") is True
    return {"anyOf": [{"type": "null"}, kept]} if nullable else kept


@cache
def _schemas() -> dict[str, Any]:
    published = json.loads(gzip.decompress(_SPEC.read_bytes()))["schemas"]
    schemas: dict[str, Any] = _without_nullable(published)
    for kind, gone in _GONE.items():
        schema = schemas[kind]
        schema["required"] = [k for k in schema["required"] if k not in gone]
    return schemas


@cache
def _validator(kind: str) -> Draft202012Validator:
    reference = {"$ref": f"#/components/schemas/{kind}"}
    return Draft202012Validator({**reference, "components": {"schemas": _schemas()}})


def faults_of(body: dict[str, Any]) -> list[str]:
    """What is wrong with the object, in words; empty if nothing is."""
    kind = body["object"]
    faults = []
    if kind in _schemas():
        faults = [
            f"{kind}.{'.'.join(map(str, error.absolute_path))}: {error.message[:200]}"
            for error in _validator(kind).iter_errors(body)
        ]
    hints = SDK[kind].__annotations__
    fields = {name for name in hints if name not in ("OBJECT_NAME", "deleted")}
    needed = {name for name in fields if "Optional" not in str(hints[name])}
    faults += [f"{kind}.{name}: unknown to the SDK" for name in body.keys() - fields]
    missing = {f"{kind}.{name}" for name in needed - body.keys()} - _LEFT_OUT
    return faults + [f"{name}: missing" for name in missing]


def objects_in(value: Any) -> list[dict[str, Any]]:
    """Every Stripe object in an answer, nested ones too."""
    if isinstance(value, list):
        return [found for each in value for found in objects_in(each)]
    if not isinstance(value, dict):
        return []
    inner = [found for each in value.values() for found in objects_in(each)]
    return [value, *inner] if str(value.get("object")) in SDK else inner
