"""The Stripe account as one request sees it: its objects, its events, its ledger."""

import secrets
import string
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

from simulators.store import Store
from simulators.stripe.errors import StripeError
from simulators.stripe.params import Params, integer, struct, text

Json = dict[str, Any]
API_VERSION = "2026-10-28.endive"

_ALPHABET = string.ascii_letters + string.digits
_KINDS = {
    "ch": "charge",
    "cs": "checkout.session",
    "cus": "customer",
    "dp": "dispute",
    "evt": "event",
    "ii": "invoiceitem",
    "in": "invoice",
    "inpay": "invoice_payment",
    "pi": "payment_intent",
    "pm": "payment_method",
    "price": "price",
    "prod": "product",
    "re": "refund",
    "sub": "subscription",
}
_BOUNDS: dict[str, Callable[[int, int], bool]] = {
    "gt": lambda created, bound: created > bound,
    "gte": lambda created, bound: created >= bound,
    "lt": lambda created, bound: created < bound,
    "lte": lambda created, bound: created <= bound,
}


class Effect(Protocol):
    """Writes to the simulator's ledger."""

    def __call__(self, effect: str, *, key: str, **detail: Any) -> None: ...


def now() -> int:
    """Unix seconds."""
    return int(time.time())


def new_id(prefix: str) -> str:
    """An id as Stripe makes them."""
    return f"{prefix}_{''.join(secrets.choice(_ALPHABET) for _ in range(24))}"


def kind_of(id: str) -> str | None:
    """What an id names, by its prefix."""
    return _KINDS.get(id.split("_", 1)[0])


class Account:
    """Used inside one transaction. `announce` tells the webhooks of a new event."""

    def __init__(
        self,
        store: Store,
        effect: Effect,
        *,
        announce: Callable[[Json], None],
        request_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        self.store = store
        self._effect, self._announce = effect, announce
        self._request = {"id": request_id, "idempotency_key": idempotency_key}

    def find(self, kind: str, id: str) -> Json | None:
        """The object, or None."""
        return self.store.find(kind, id)

    def get(self, kind: str, id: str, param: str = "id") -> Json:
        """The object; `param` is where its id was given, which the refusal names."""
        if (found := self.store.find(kind, id)) is None:
            raise StripeError.missing(kind, id, param)
        return found

    def save(self, body: Json) -> Json:
        """Adds or replaces, silently."""
        self.store.put(body["object"], body["id"], body)
        return body

    def changed(self, event: str, body: Json) -> Json:
        """Saves, and tells of it: an effect in the ledger, an event, its webhook."""
        self.save(body)
        names = ("amount", "currency", "customer", "payment_intent", "charge", "email")
        detail = {k: body[k] for k in names if body.get(k) is not None}
        if self._request["idempotency_key"]:
            detail["idempotency_key"] = self._request["idempotency_key"]
        self._effect(event, key=body["id"], **detail)
        happened = {
            "id": new_id("evt"),
            "object": "event",
            "api_version": API_VERSION,
            "created": now(),
            "data": {"object": body},
            "livemode": False,
            "pending_webhooks": 0,
            "request": self._request,
            "type": event,
        }
        self._announce(self.save(happened))
        return body

    def page(
        self,
        kind: str,
        params: Params,
        url: str,
        filters: Mapping[str, str] = MappingProxyType({}),
        *,
        keep: Callable[[Json], bool] = lambda _: True,
    ) -> Json:
        """A list answer, newest first, of what `keep` approves.

        `filters` maps a parameter to the field it must equal (`a.b` goes deeper).
        """
        given = params.take(
            limit=integer,
            starting_after=text,
            ending_before=text,
            created=_created,
            **dict.fromkeys(filters, text),
        )
        wanted = {filters[k]: given[k] for k in filters.keys() & given.keys()}
        if "customer" in wanted:
            self.get("customer", wanted["customer"], "customer")
        found = [
            body
            for body in self.store.each(kind)
            if not body.get("deleted")
            and keep(body)
            and all(_at(body, path) == value for path, value in wanted.items())
            and _within(body, given.get("created", {}))
        ]
        return listed(found, url, given)


def listed(found: list[Json], url: str, given: Json) -> Json:
    """One page of objects that come oldest first; `given` has limit and cursors."""
    newest = sorted(found, key=lambda body: body.get("created", 0))
    newest.reverse()
    limit = given.get("limit", 10)
    if not 1 <= limit <= 100:
        raise StripeError.invalid("Limit must be between 1 and 100", "limit")
    ids = [body["id"] for body in newest]
    begin, end = 0, len(newest)
    if after := given.get("starting_after"):
        if after not in ids:
            raise StripeError.missing("object", after, "starting_after")
        begin = ids.index(after) + 1
    if before := given.get("ending_before"):
        if before not in ids:
            raise StripeError.missing("object", before, "ending_before")
        end = ids.index(before)
        begin = max(begin, end - limit)
    more = begin > 0 if before else end > begin + limit
    data = newest[begin:end][:limit]
    return {"object": "list", "url": url, "has_more": more, "data": data}


def _created(name: str, value: Any) -> dict[str, int]:
    if isinstance(value, str):
        value = {"gte": value, "lte": value}
    bounds: dict[str, int] = struct(**dict.fromkeys(_BOUNDS, integer))(name, value)
    return bounds


def _within(body: Json, bounds: dict[str, int]) -> bool:
    return all(_BOUNDS[k](body["created"], bound) for k, bound in bounds.items())


def _at(body: Json, path: str) -> Any:
    value: Any = body
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
