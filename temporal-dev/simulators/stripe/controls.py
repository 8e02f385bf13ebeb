"""What people do at Stripe's own pages, for tests and for the demo:

POST /_simulator/payments {amount, currency, customer?, email?, metadata?,
                           created?, status?}    a customer and a payment at once
GET  /_simulator/checkout/{id}                   the hosted payment page
POST /_simulator/checkout/{id}/pay {card?, email?}
POST /_simulator/subscriptions/{id}/renew        the next period begins
POST /_simulator/refunds/{id}/fail {}            their bank does not take it
POST /_simulator/dispute {payment_intent}        the cardholder complains
POST /_simulator/webhooks {enabled}              false drops them
"""

import json
from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    RedirectResponse,
    Response,
)
from starlette.routing import BaseRoute, Route

from simulators.stripe import checkout, subscriptions
from simulators.stripe.account import Account, Json
from simulators.stripe.charges import dispute, latest_charge
from simulators.stripe.customers import add_customer
from simulators.stripe.errors import StripeError
from simulators.stripe.intents import add_intent, confirmed
from simulators.stripe.refunds import fail_refund

if TYPE_CHECKING:
    from simulators.stripe.simulator import StripeSimulator

_PAGE = """<!doctype html><meta charset="utf-8"><title>Pay</title>
<body style="font:16px system-ui;max-width:24rem;margin:4rem auto">
<h1>{amount} {currency}</h1><p>{what}</p>
<form method="post" action="{id}/pay">
<p><input name="email" type="email" placeholder="E-mail" value="{email}">
<p><select name="card"><option>pm_card_visa<option>pm_card_chargeDeclined
<option>pm_card_createDispute</select> <button>Pay</button></form>
"""


Act = Callable[[Account, Json, str], Json]


def control_routes(sim: "StripeSimulator") -> Sequence[BaseRoute]:
    """The routes above."""

    def webhooks(_: Account, asked: Json, __: str) -> Json:
        enabled = bool(asked["enabled"])
        sim.webhooks.enable(enabled)
        return {"enabled": enabled}

    async def page(request: Request) -> Response:
        return _page(sim, request.path_params["id"])

    async def pay(request: Request) -> Response:
        if "form" not in request.headers.get("Content-Type", ""):
            return await _answered(sim, _pay, request)
        form = dict(parse_qsl((await request.body()).decode()))
        id = request.path_params["id"]
        try:
            session = _done(sim, _pay, form, id)
        except StripeError as refused:
            return sim.refusal(refused)
        there = session["success_url"].replace("{CHECKOUT_SESSION_ID}", id)
        return RedirectResponse(there, status_code=303)

    def posted(path: str, act: Act) -> Route:
        async def respond(request: Request) -> Response:
            return await _answered(sim, act, request)

        return Route(path, respond, methods=["POST"])

    return [
        posted("/_simulator/payments", _payment),
        posted("/_simulator/refunds/{id}/fail", fail_refund),
        posted("/_simulator/subscriptions/{id}/renew", _renew),
        posted("/_simulator/dispute", _dispute),
        posted("/_simulator/webhooks", webhooks),
        Route("/_simulator/checkout/{id}", page, methods=["GET"]),
        Route("/_simulator/checkout/{id}/pay", pay, methods=["POST"]),
    ]


def _payment(account: Account, asked: Json, _: str) -> Json:
    """An unknown customer id is that of a new customer."""
    created, status = asked.get("created"), asked.get("status", "succeeded")
    customer = account.find("customer", asked.get("customer") or "")
    if customer is None:
        given = {"id": asked["customer"]} if asked.get("customer") else {}
        customer = add_customer(account, email=asked.get("email"), **given)
    paid = status in ("succeeded", "requires_capture")
    intent = add_intent(
        account,
        amount=asked["amount"],
        currency=asked["currency"],
        customer=customer["id"],
        metadata=asked.get("metadata", {}),
        payment_method="pm_card_visa" if paid else None,
        capture_method="manual" if status == "requires_capture" else "automatic",
    )
    if paid:
        intent = confirmed(account, intent)
    elif status != "requires_payment_method":
        intent = account.changed(
            f"payment_intent.{status}", {**intent, "status": status}
        )
    if created:
        intent = account.save({**intent, "created": created})
        if charged := account.find("charge", intent["latest_charge"] or ""):
            account.save({**charged, "created": created})
    return {"customer": customer, "payment_intent": intent}


def _pay(account: Account, asked: Json, id: str) -> Json:
    card = asked.get("card") or "pm_card_visa"
    return checkout.pay(account, id, card=card, email=asked.get("email"))


def _renew(account: Account, _: Json, id: str) -> Json:
    return subscriptions.renew(account, id)


def _dispute(account: Account, asked: Json, _: str) -> Json:
    intent = account.get("payment_intent", asked["payment_intent"])
    return dispute(account, latest_charge(account, intent))


def _page(sim: "StripeSimulator", id: str) -> Response:
    session = sim.store.find("checkout.session", id)
    plan = sim.store.find("_checkout", id)
    if session is None or plan is None or session["status"] != "open":
        return HTMLResponse("<h1>This page is gone</h1>", 404)
    return HTMLResponse(
        _PAGE.format(
            id=escape(id),
            amount=f"{session['amount_total'] / 100:.2f}",
            currency=escape(session["currency"].upper()),
            what=escape(", ".join(line["description"] for line in plan["lines"])),
            email=escape(session["customer_email"] or ""),
        )
    )


async def _answered(sim: "StripeSimulator", act: Act, request: Request) -> Response:
    body = await request.body()
    id = request.path_params.get("id", "")
    try:
        return JSONResponse(_done(sim, act, json.loads(body or b"{}"), id))
    except StripeError as refused:
        return sim.refusal(refused)
    except (KeyError, TypeError, ValueError) as bad:
        return JSONResponse({"error": {"message": repr(bad)}}, status_code=422)


def _done(sim: "StripeSimulator", act: Act, asked: Json, id: str) -> Json:
    """In one transaction; a declined card is written down before it is raised."""
    declined = None
    with sim.store.change():
        try:
            return act(sim.control_account(), asked, id)
        except StripeError as refused:
            if not refused.executed:
                raise
            declined = refused
    raise declined
