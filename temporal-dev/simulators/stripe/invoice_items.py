"""Invoice items, and the lines of an invoice that come of them."""

from typing import Any

from simulators.stripe.account import Account, Json, new_id, now
from simulators.stripe.catalogue import PRICE_DATA, priced
from simulators.stripe.customers import live_customer
from simulators.stripe.errors import StripeError
from simulators.stripe.params import Params, integer, metadata, struct, text


def create_item(account: Account, params: Params, _: str) -> Json:
    """POST /v1/invoiceitems: waits for the next invoice, or joins a draft."""
    given = params.take(
        "customer",
        customer=text,
        amount=integer,
        currency=text,
        description=text,
        invoice=text,
        metadata=metadata,
        price_data=PRICE_DATA,
        pricing=struct("price", price=text),
        quantity=integer,
    )
    live_customer(account, given["customer"], "customer")
    quantity = given.get("quantity", 1)
    if "amount" in given:
        amount, currency, price = given["amount"], given.get("currency") or "usd", None
    else:
        line = {**given, "price": given.get("pricing", {}).get("price")}
        price = priced(account, line, "pricing")
        amount, currency = price["unit_amount"] * quantity, price["currency"]
    item: Json = {
        "id": new_id("ii"),
        "object": "invoiceitem",
        "amount": amount,
        "currency": currency.lower(),
        "customer": given["customer"],
        "date": now(),
        "description": given.get("description"),
        "discountable": True,
        "discounts": [],
        "invoice": None,
        "livemode": False,
        "metadata": given.get("metadata", {}),
        "net_amount": amount,
        "parent": None,
        "period": {"start": now(), "end": now()},
        "pricing": _pricing(price) if price else None,
        "proration": False,
        "quantity": quantity,
        "quantity_decimal": str(quantity),
        "tax_rates": [],
        "test_clock": None,
    }
    account.changed("invoiceitem.created", item)
    if invoice_id := given.get("invoice"):
        invoice = account.get("invoice", invoice_id, "invoice")
        must_be(invoice, "draft")
        account.save(with_lines(invoice, [line_of(account, invoice, item)]))
    return account.get("invoiceitem", item["id"])


def line(
    invoice_id: str, amount: int, currency: str, *, quantity: int = 1, **more: Any
) -> Json:
    """One line of an invoice."""
    return {
        "id": new_id("il"),
        "object": "line_item",
        "amount": amount,
        "currency": currency,
        "description": None,
        "discount_amounts": [],
        "discountable": True,
        "discounts": [],
        "invoice": invoice_id,
        "livemode": False,
        "metadata": {},
        "parent": None,
        "period": {"start": now(), "end": now()},
        "pretax_credit_amounts": [],
        "pricing": None,
        "quantity": quantity,
        "quantity_decimal": str(quantity),
        "subscription": None,
        "subtotal": amount,
        "taxes": [],
        **more,
    }


def subscription_line(invoice_id: str, item: Json, period: Json) -> Json:
    """The line for one period of a subscription's item."""
    price = item["price"]
    return line(
        invoice_id,
        price["unit_amount"] * item["quantity"],
        price["currency"],
        quantity=item["quantity"],
        period=period,
        pricing=_pricing(price),
        subscription=item["subscription"],
        parent={
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": None,
                "proration": False,
                "proration_details": {"credited_items": None},
                "subscription": item["subscription"],
                "subscription_item": item["id"],
            },
            "type": "subscription_item_details",
        },
    )


def line_of(account: Account, invoice: Json, item: Json) -> Json:
    """The invoice takes the waiting item up."""
    account.save({**item, "invoice": invoice["id"]})
    details = {
        "invoice_item": item["id"],
        "proration": False,
        "proration_details": None,
        "subscription": None,
    }
    return line(
        invoice["id"],
        item["amount"],
        item["currency"],
        quantity=item["quantity"],
        description=item["description"],
        metadata=item["metadata"],
        period=item["period"],
        pricing=item["pricing"],
        parent={
            "invoice_item_details": details,
            "subscription_item_details": None,
            "type": "invoice_item_details",
        },
    )


def _pricing(price: Json) -> Json:
    return {
        "price_details": {"price": price["id"], "product": price["product"]},
        "type": "price_details",
        "unit_amount_decimal": str(price["unit_amount"]),
    }


def with_lines(invoice: Json, lines: list[Json]) -> Json:
    """The invoice with further lines, summed up."""
    lines = [*invoice["lines"]["data"], *lines]
    total = sum(each["amount"] for each in lines)
    sums = ("amount_due", "amount_remaining", "subtotal", "subtotal_excluding_tax")
    currency = lines[0]["currency"] if lines else invoice["currency"]
    return {
        **invoice,
        "currency": currency,
        "lines": {**invoice["lines"], "data": lines},
        **dict.fromkeys((*sums, "total", "total_excluding_tax"), total),
    }


def retrieve_item(account: Account, params: Params, id: str) -> Json:
    """GET /v1/invoiceitems/{id}"""
    params.take()
    return account.get("invoiceitem", id)


def list_items(account: Account, params: Params, _: str) -> Json:
    """GET /v1/invoiceitems"""
    filters = {"customer": "customer", "invoice": "invoice"}
    return account.page("invoiceitem", params, "/v1/invoiceitems", filters)


def delete_item(account: Account, params: Params, id: str) -> Json:
    """DELETE /v1/invoiceitems/{id}: only while no invoice has taken it up."""
    params.take()
    if account.get("invoiceitem", id)["invoice"]:
        message = "This item is part of an invoice."
        raise StripeError.state(message, "invoice_not_editable")
    account.store.remove("invoiceitem", id)
    return {"id": id, "object": "invoiceitem", "deleted": True}


def must_be(invoice: Json, *states: str) -> None:
    """Raises `StripeError`."""
    if invoice["status"] not in states:
        message = f"This invoice is {invoice['status']}, not {' or '.join(states)}."
        raise StripeError.state(message, "invoice_not_editable")


OPERATIONS = {
    "POST /v1/invoiceitems": create_item,
    "GET /v1/invoiceitems": list_items,
    "GET /v1/invoiceitems/{id}": retrieve_item,
    "DELETE /v1/invoiceitems/{id}": delete_item,
}
