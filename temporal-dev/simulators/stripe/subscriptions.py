"""Subscriptions: an invoice for the first period, and one for each that follows."""

import calendar
from datetime import UTC, datetime, timedelta
from typing import Any

from simulators.stripe.account import Account, Json, new_id, now
from simulators.stripe.catalogue import PRICE_DATA, priced
from simulators.stripe.customers import live_customer, payment_method
from simulators.stripe.errors import StripeError
from simulators.stripe.invoice_items import subscription_line
from simulators.stripe.invoices import PLAIN_TAX, add_invoice, finalized, paid
from simulators.stripe.params import (
    Params,
    anything,
    array,
    boolean,
    integer,
    merged,
    metadata,
    one_of,
    struct,
    text,
)

_ITEM = struct(price=text, price_data=PRICE_DATA, quantity=integer, metadata=metadata)
_CHANGEABLE = {
    "cancel_at_period_end": boolean,
    "default_payment_method": text,
    "description": text,
    "metadata": metadata,
    "proration_behavior": anything,
    "off_session": anything,
    "payment_settings": anything,
}
_UNUSED = ("proration_behavior", "off_session", "payment_settings")


def create_subscription(account: Account, params: Params, _: str) -> Json:
    """POST /v1/subscriptions"""
    given = params.take(
        "customer",
        "items",
        customer=text,
        items=array(_ITEM),
        collection_method=one_of("charge_automatically"),
        payment_behavior=one_of(
            "allow_incomplete", "default_incomplete", "error_if_incomplete"
        ),
        **_CHANGEABLE,
    )
    return add_subscription(account, **given)


def add_subscription(account: Account, items: list[Json], **given: Any) -> Json:
    """A subscription whose first invoice is paid at once, if it can be."""
    behavior = given.pop("payment_behavior", "allow_incomplete")
    fields = {k: v for k, v in given.items() if k not in _UNUSED}
    customer = live_customer(account, fields["customer"], "customer")
    usual = customer["invoice_settings"]["default_payment_method"]
    method = fields.get("default_payment_method") or usual
    if not method and behavior != "default_incomplete":
        message = "This customer has no default payment method"
        raise StripeError.invalid(message, "customer", "resource_missing")
    if fields.get("default_payment_method"):
        fields["default_payment_method"] = payment_method(account, method)["id"]

    subscription = _blank(account, items, fields)
    account.changed("customer.subscription.created", subscription)
    invoice = finalized(account, _bill(account, subscription, "subscription_create"))
    subscription["latest_invoice"] = invoice["id"]
    if behavior != "default_incomplete":
        try:
            paid(account, invoice, fields.get("default_payment_method") or method)
            subscription["status"] = "active"
        except StripeError as declined:
            if behavior == "error_if_incomplete":
                declined.executed = False
                raise
    return account.changed("customer.subscription.updated", subscription)


def _blank(account: Account, items: list[Json], fields: Json) -> Json:
    id, start = new_id("sub"), now()
    made = [_item(account, id, i, item, start) for i, item in enumerate(items)]
    subscription: Json = {
        "id": id,
        "object": "subscription",
        "application": None,
        "application_fee_percent": None,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": start,
        "billing_cycle_anchor_config": None,
        "billing_mode": {"type": "flexible", "flexible": {}},
        "billing_schedules": [],
        "billing_thresholds": None,
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "collection_method": "charge_automatically",
        "created": start,
        "currency": made[0]["price"]["currency"],
        "days_until_due": None,
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "ended_at": None,
        "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
        "items": {
            "object": "list",
            "data": made,
            "has_more": False,
            "url": f"/v1/subscription_items?subscription={id}",
        },
        "latest_invoice": None,
        "livemode": False,
        "metadata": {},
        "next_pending_invoice_item_invoice": None,
        "on_behalf_of": None,
        "pause_collection": None,
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": "off",
        },
        "pending_invoice_item_interval": None,
        "pending_setup_intent": None,
        "pending_update": None,
        "schedule": None,
        "start_date": start,
        "status": "incomplete",
        "test_clock": None,
        "transfer_data": None,
        "trial_end": None,
        "trial_settings": {
            "end_behavior": {"missing_payment_method": "create_invoice"}
        },
        "trial_start": None,
    }
    return {**subscription, **fields}


def _item(account: Account, id: str, index: int, given: Json, start: int) -> Json:
    price = priced(account, given, f"items[{index}]")
    if not price["recurring"]:
        message = "The price specified is set to `type=one_time`."
        raise StripeError.invalid(message, f"items[{index}][price]")
    return {
        "id": new_id("si"),
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": start,
        "current_period_end": _next(start, price["recurring"]),
        "current_period_start": start,
        "discounts": [],
        "metadata": given.get("metadata", {}),
        "plan": _plan(price),
        "price": price,
        "quantity": given.get("quantity", 1),
        "subscription": id,
        "tax_rates": [],
    }


def _plan(price: Json) -> Json:
    recurring = price["recurring"]
    return {
        "id": price["id"],
        "object": "plan",
        "active": True,
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "billing_scheme": "per_unit",
        "created": price["created"],
        "currency": price["currency"],
        "interval": recurring["interval"],
        "interval_count": recurring["interval_count"],
        "livemode": False,
        "metadata": {},
        "meter": None,
        "nickname": None,
        "product": price["product"],
        "tiers_mode": None,
        "transform_usage": None,
        "trial_period_days": None,
        "usage_type": "licensed",
    }


def _next(start: int, recurring: Json) -> int:
    begin = datetime.fromtimestamp(start, UTC)
    count, interval = recurring["interval_count"], recurring["interval"]
    if interval in ("day", "week"):
        days = count * (7 if interval == "week" else 1)
        return int((begin + timedelta(days=days)).timestamp())
    months = begin.month - 1 + count * (12 if interval == "year" else 1)
    year, month = begin.year + months // 12, months % 12 + 1
    day = min(begin.day, calendar.monthrange(year, month)[1])
    return int(begin.replace(year=year, month=month, day=day).timestamp())


def _bill(account: Account, subscription: Json, reason: str) -> Json:
    items = subscription["items"]["data"]
    details = {"metadata": subscription["metadata"], "subscription": subscription["id"]}

    def lines(invoice_id: str) -> list[Json]:
        return [
            subscription_line(
                invoice_id,
                item,
                {
                    "start": item["current_period_start"],
                    "end": item["current_period_end"],
                },
            )
            for item in items
        ]

    return add_invoice(
        account,
        subscription["customer"],
        lines,
        billing_reason=reason,
        automatic_tax=PLAIN_TAX,
        default_payment_method=subscription["default_payment_method"],
        period_start=items[0]["current_period_start"],
        period_end=items[0]["current_period_end"],
        parent={
            "quote_details": None,
            "subscription_details": details,
            "type": "subscription_details",
        },
    )


def renew(account: Account, id: str) -> Json:
    """The next period begins: it is billed, and charged; declined means `past_due`."""
    subscription = account.get("subscription", id)
    if subscription["status"] not in ("active", "past_due"):
        message = f"This subscription is {subscription['status']}."
        raise StripeError.state(message, "subscription_not_active")
    if subscription["cancel_at_period_end"]:
        return _ended(account, subscription)
    for item in subscription["items"]["data"]:
        item["current_period_start"] = start = item["current_period_end"]
        item["current_period_end"] = _next(start, item["price"]["recurring"])
    account.save(subscription)
    invoice = _bill(account, subscription, "subscription_cycle")
    try:
        paid(account, invoice)
        status = "active"
    except StripeError:
        status = "past_due"
    renewed = {"status": status, "latest_invoice": invoice["id"]}
    return account.changed("customer.subscription.updated", {**subscription, **renewed})


def update_subscription(account: Account, params: Params, id: str) -> Json:
    """POST /v1/subscriptions/{id}"""
    subscription = account.get("subscription", id)
    given = params.take(**_CHANGEABLE)
    given = {k: v for k, v in given.items() if k not in _UNUSED}
    given["metadata"] = merged(subscription["metadata"], given.get("metadata", {}))
    if given.get("default_payment_method"):
        method = payment_method(account, given["default_payment_method"])
        given["default_payment_method"] = method["id"]
    if "cancel_at_period_end" in given:
        leaving = given["cancel_at_period_end"]
        end = subscription["items"]["data"][0]["current_period_end"]
        given["cancel_at"] = end if leaving else None
        given["canceled_at"] = now() if leaving else None
    return account.changed("customer.subscription.updated", {**subscription, **given})


def cancel_subscription(account: Account, params: Params, id: str) -> Json:
    """DELETE /v1/subscriptions/{id}"""
    params.take(invoice_now=boolean, prorate=boolean, cancellation_details=anything)
    subscription = account.get("subscription", id)
    if subscription["status"] == "canceled":
        raise StripeError.missing("subscription", id, "id")
    return _ended(account, subscription)


def _ended(account: Account, subscription: Json) -> Json:
    ended = {"status": "canceled", "canceled_at": now(), "ended_at": now()}
    return account.changed("customer.subscription.deleted", {**subscription, **ended})


def retrieve_subscription(account: Account, params: Params, id: str) -> Json:
    """GET /v1/subscriptions/{id}"""
    params.take()
    return account.get("subscription", id)


def list_subscriptions(account: Account, params: Params, _: str) -> Json:
    """GET /v1/subscriptions"""
    if params.given.get("status") == "all":
        del params.given["status"]
    filters = {"customer": "customer", "status": "status"}
    return account.page("subscription", params, "/v1/subscriptions", filters)


OPERATIONS = {
    "POST /v1/subscriptions": create_subscription,
    "GET /v1/subscriptions": list_subscriptions,
    "GET /v1/subscriptions/{id}": retrieve_subscription,
    "POST /v1/subscriptions/{id}": update_subscription,
    "DELETE /v1/subscriptions/{id}": cancel_subscription,
}
