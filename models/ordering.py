"""What a door asks for when it places an order, and what it gets back.

Every door speaks its own words; here they have become the same plain values. A request
is checked when it is made, so whatever exists is well-formed.
"""

import hashlib
import json
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Self
from uuid import UUID

from email_validator import EmailNotValidError, validate_email

from models.errors import Invalid
from models.hosts import host_name
from models.ssh_keys import ssh_keys
from models.states import JobKind

MOST_ITEMS = 50

# Addresses of this form are well-formed wherever their domain is.
_PLAIN = re.compile(
    r"[A-Za-z0-9]+(?:[._+-][A-Za-z0-9]+)*@(?P<domain>[A-Za-z0-9.-]+)", re.ASCII
)
_LONGEST = 64
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))

_STRIPE = re.compile(r"[a-zA-Z0-9_]{3,255}")


@dataclass(frozen=True)
class Line:
    """One thing to buy. `type`, if said, must be the product's; `ssh_keys` open what
    has a login."""

    code: str
    type: str | None = None
    ssh_keys: tuple[str, ...] = ()

    @property
    def as_json(self) -> dict[str, Any]:
        """Without any keys, the same as before there were keys."""
        plain: dict[str, Any] = {"code": self.code, "type": self.type}
        return {**plain, "ssh_keys": self.ssh_keys} if self.ssh_keys else plain


@dataclass(frozen=True)
class OrderRequest:
    """A well-formed wish. The Stripe ids are hints where to look, never a proof.

    Raises `Invalid`, naming the field in the words of the doors. `email` is kept in
    lower case, `domain` (of the first website) too.
    """

    source: str
    email: str
    lines: tuple[Line, ...]
    stripe_customer_id: str | None = None
    stripe_payment_intent_id: str | None = None
    stripe_checkout_session_id: str | None = None
    domain: str | None = None

    def __post_init__(self) -> None:
        if not self.lines:
            raise Invalid("items", "an order needs at least one item")
        if len(self.lines) > MOST_ITEMS:
            raise Invalid("items", f"an order has at most {MOST_ITEMS} items")
        lines = tuple(_checked(*place) for place in enumerate(self.lines))
        object.__setattr__(self, "lines", lines)
        email = email_address(self.email, field="customerEmail")
        object.__setattr__(self, "email", email)
        for field, value, prefix in (
            ("stripeCustomerId", self.stripe_customer_id, "cus_"),
            ("stripePaymentIntentId", self.stripe_payment_intent_id, "pi_"),
            ("stripeCheckoutSessionId", self.stripe_checkout_session_id, "cs_"),
        ):
            if value is not None and not (
                value.startswith(prefix) and _STRIPE.fullmatch(value)
            ):
                raise Invalid(field, f"want an id of Stripe's that begins {prefix}")
        if self.domain is not None:
            name = host_name(self.domain, field="domain")
            object.__setattr__(self, "domain", name)

    @property
    def body_hash(self) -> str:
        """Of all that was asked."""
        return _hash(self.as_json())

    @property
    def content_key(self) -> str:
        """Of who buys what through whom: the repeat key where no better is given."""
        lines = sorted((line.code, line.type or "") for line in self.lines)
        buyer = [self.source, self.stripe_customer_id, self.email]
        return f"content:{_hash([*buyer, lines])}"

    def as_json(self) -> dict[str, Any]:
        """Plain values, for a row that keeps the request."""
        return {**vars(self), "lines": [line.as_json for line in self.lines]}

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Self:
        """The request that `as_json` gave."""
        lines = tuple(
            Line(**{**line, "ssh_keys": tuple(line.get("ssh_keys", ()))})
            for line in kept["lines"]
        )
        return cls(**{**kept, "lines": lines})


@dataclass(frozen=True)
class RepeatKey:
    """Under which an order is known to whoever sends it again.

    `same_body`: coming again with another body is the sender's mistake.
    """

    key: str
    same_body: bool = False

    @classmethod
    def first_of(
        cls,
        request: OrderRequest,
        *,
        event_id: str | None = None,
        idempotency_key: str | None = None,
        order_id: str | None = None,
    ) -> "RepeatKey | None":
        """The strongest that is present; None if only the content can tell."""
        for kind, value in (
            ("event", event_id),
            ("idempotency", idempotency_key),
            ("order", order_id and f"{request.source}:{order_id}"),
            ("session", request.stripe_checkout_session_id),
            ("payment", request.stripe_payment_intent_id),
        ):
            if value:
                return cls(f"{kind}:{value}", same_body=kind == "idempotency")
        return None


@dataclass(frozen=True)
class PlacedLine:
    """What one line became, as it was when the order was accepted: all pending."""

    product_id: UUID
    subscription_id: UUID
    job_id: UUID
    kind: JobKind


@dataclass(frozen=True)
class Placed:
    """An accepted order and its root job.

    `repeated`: the order was there before, and this is its first result again.
    """

    order_id: UUID
    job_id: UUID
    customer_id: UUID
    lines: tuple[PlacedLine, ...]
    repeated: bool


def email_address(given: str, *, field: str) -> str:
    """The address in lower case. Raises `Invalid`; no DNS is asked."""
    plain = _PLAIN.fullmatch(given)
    if plain and len(given) <= _LONGEST and _is_domain(plain["domain"].lower()):
        return given.lower()
    return _normal(given, field)


def _normal(given: str, field: str) -> str:
    try:
        found = validate_email(given, check_deliverability=False, test_environment=True)
    except EmailNotValidError as wrong:
        raise Invalid(field, str(wrong)) from None
    return found.normalized.lower()


@lru_cache(maxsize=4096)
def _is_domain(name: str) -> bool:
    """Most addresses are plain ones at a domain that was seen before."""
    with suppress(Invalid):
        return _normal(f"a@{name}", "") == f"a@{name}"
    return False


def _checked(position: int, line: Line) -> Line:
    if not line.ssh_keys:
        return line
    field = f"items[{position}].sshKeys"
    return replace(line, ssh_keys=tuple(ssh_keys(line.ssh_keys, field=field)))


def _hash(content: Any) -> str:
    return hashlib.sha256(_CANONICAL.encode(content).encode()).hexdigest()
