"""Stripe's wire: authentication, idempotency, and the table of operations."""

import hashlib
import json
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulators.core import Call, Refused, Simulator
from simulators.http import answered
from simulators.stripe import (
    catalogue,
    charges,
    checkout,
    customers,
    events,
    intents,
    invoice_items,
    invoicing,
    refunds,
    subscriptions,
)
from simulators.stripe.account import API_VERSION, Account, Json, new_id
from simulators.stripe.controls import control_routes
from simulators.stripe.errors import StripeError, body_of
from simulators.stripe.expand import expanded
from simulators.stripe.params import Params
from simulators.stripe.webhooks import Webhooks

Operation = Callable[[Account, Params, str], Json]

OPERATIONS: dict[str, Operation] = {
    **customers.OPERATIONS,
    **catalogue.OPERATIONS,
    **intents.OPERATIONS,
    **charges.OPERATIONS,
    **refunds.OPERATIONS,
    **invoice_items.OPERATIONS,
    **invoicing.OPERATIONS,
    **subscriptions.OPERATIONS,
    **checkout.OPERATIONS,
    **events.OPERATIONS,
}
_KEY_LIVES = 24 * 3600
_SHORT = ("id", "amount", "amount_received", "amount_refunded", "currency", "customer")
_SHORT_TOO = ("created", "disputed", "email", "payment_intent", "status", "type")


class StripeSimulator(Simulator):
    """One Stripe account. Settings: port, api_key, webhook_url, webhook_secret."""

    def __init__(self, settings: dict[str, Any], data_dir: Path) -> None:
        super().__init__("stripe", data_dir, port=settings["port"])
        self._api_key: str = settings["api_key"]
        self._in_flight: set[str] = set()
        secret = settings.get("webhook_secret", "")
        self.webhooks = Webhooks(self.store, settings.get("webhook_url"), secret)
        self.app.routes.extend(control_routes(self))
        self.app.routes.extend(self._route(*each) for each in OPERATIONS.items())
        self.app.routes.append(Route("/{path:path}", self._unknown, methods=_METHODS))

    async def start(self) -> None:
        """Also begins to deliver webhooks."""
        await super().start()
        await self.webhooks.start()

    async def stop(self) -> None:
        """Webhooks not delivered yet wait for the next start."""
        await self.webhooks.stop()
        await super().stop()

    def reset(self) -> None:
        """Keys in flight are free again, too."""
        super().reset()
        self._in_flight.clear()

    def short(self, kind: str, body: Json) -> Json:  # noqa: ARG002
        """What a test compares; the rest is a GET away."""
        return {name: body[name] for name in (*_SHORT, *_SHORT_TOO) if name in body}

    def refusal(self, refused: Refused) -> Response:
        """Stripe's error body."""
        return _json(refused.status, body_of(refused))

    def control_account(self) -> Account:
        """For what people do at Stripe's own pages."""
        return Account(self.store, self.effect, announce=self.webhooks.announce)

    def _route(self, op: str, operation: Operation) -> Route:
        method, path = op.split(" ")

        async def respond(request: Request) -> Response:
            key = request.headers.get("Idempotency-Key") if method == "POST" else None
            encoded = await _encoded(request)
            given = _given_key(request)
            with self._claim(key) as free:

                async def work(call: Call) -> Response:
                    self._authenticate(given)
                    if not free:
                        raise _in_use(key or "")
                    return self._run(operation, request, encoded, key, call)

                response = await answered(self, op, given[-4:], work)
            response.headers.setdefault("Request-Id", new_id("req"))
            response.headers["Stripe-Version"] = API_VERSION
            return response

        return Route(path, respond, methods=[method])

    @contextmanager
    def _claim(self, key: str | None) -> Iterator[bool]:
        if key is None:
            yield True
            return
        free = key not in self._in_flight
        self._in_flight.add(key)
        try:
            yield free
        finally:
            if free:
                self._in_flight.discard(key)

    def _authenticate(self, given: str) -> None:
        if given != self._api_key:
            message = f"Invalid API Key provided: ****{given[-4:]}"
            if not given:
                message = "You did not provide an API key."
            raise StripeError(401, message)

    def _run(
        self,
        operation: Operation,
        request: Request,
        encoded: str,
        key: str | None,
        call: Call,
    ) -> Response:
        asked = f"{request.method} {request.url.path} {encoded}"
        digest = hashlib.sha256(asked.encode()).hexdigest()
        if key and (before := self._saved(key)):
            return _replayed(before, digest)
        id = new_id("req")
        account = Account(
            self.store,
            call.effect,
            announce=self.webhooks.announce,
            request_id=id,
            idempotency_key=key,
        )
        with call.change():
            status, body = _result(
                operation, account, encoded, request.path_params.get("id", "")
            )
            if key:
                kept = {"id": key, "at": time.time(), "digest": digest, "request": id}
                if due := call.failing_answer:
                    kept |= {"status": due.status, "body": body_of(due)}
                else:
                    kept |= {"status": status, "body": body}
                self.store.put("_idempotency", key, kept)
        return _json(status, body, **{"Request-Id": id})

    def _saved(self, key: str) -> Json | None:
        before = self.store.find("_idempotency", key)
        return before if before and before["at"] > time.time() - _KEY_LIVES else None

    async def _unknown(self, request: Request) -> Response:
        asked = f"({request.method}: {request.url.path})"
        return self.refusal(StripeError(404, f"Unrecognized request URL {asked}."))


_METHODS = ["GET", "POST", "DELETE"]


def _result(
    operation: Operation, account: Account, encoded: str, id: str
) -> tuple[int, Json]:
    """A refusal that is a result is answered like one, and its changes stay."""
    params = Params(encoded)
    try:
        body = operation(account, params, id)
    except StripeError as refused:
        if not refused.executed:
            raise
        return refused.status, body_of(refused)
    return 200, expanded(account, body, params.expand)


def _replayed(before: Json, digest: str) -> Response:
    if before["digest"] != digest:
        message = (
            "Keys for idempotent requests can only be used with the same parameters"
            " they were first used with."
        )
        raise StripeError(400, message, type="idempotency_error")
    return _json(
        before["status"],
        before["body"],
        **{"Request-Id": before["request"], "Idempotent-Replayed": "true"},
    )


def _in_use(key: str) -> StripeError:
    return StripeError(
        409,
        f"There is currently another in-progress request using this key ({key}).",
        code="idempotency_key_in_use",
        type="idempotency_error",
    )


async def _encoded(request: Request) -> str:
    if request.method == "POST":
        return (await request.body()).decode(errors="replace")
    return request.url.query


def _given_key(request: Request) -> str:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            return b64decode(given).decode().partition(":")[0]
        except ValueError:
            return ""
    return given


def _json(status: int, body: Json, **headers: str) -> Response:
    content = json.dumps(body, indent=2)
    return Response(content, status, headers, media_type="application/json")
