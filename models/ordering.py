"""What a door asks for when it places an order, and what it gets back.

Every door speaks its own words; here they have become the same plain values. A request
is checked when it is made, so whatever exists is well-formed.
"""

import hashlib
import json
import re
from dataclasses import asdict, dataclass, replace
from typing import Any, Self
from uuid import UUID

from email_validator import EmailNotValidError, validate_email

from models.errors import Invalid
from models.hosts import host_name
from models.jobs import Job
from models.ssh_keys import ssh_keys
from models.states import JobKind

MOST_ITEMS = 50

_STRIPE = re.compile(r"[a-zA-Z0-9_]{3,255}")


@dataclass(frozen=True)
class Line:
    """One thing to buy. `type`, if said, must be the product's; `ssh_keys` open what
    has a login."""

    code: str
    type: str | None = None
    ssh_keys: tuple[str, ...] = ()


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
        kept = asdict(self)
        for line in kept["lines"]:
            # Without any, a request is the same as before there were keys.
            if not line["ssh_keys"]:
                del line["ssh_keys"]
        return kept

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
    """An accepted order. `job` is its root, to be started once committed; a repeat
    has none to start."""

    order_id: UUID
    job_id: UUID
    customer_id: UUID
    lines: tuple[PlacedLine, ...]
    job: Job | None = None

    @property
    def repeated(self) -> bool:
        """The order was there before: this is its first result again."""
        return self.job is None


def email_address(given: str, *, field: str) -> str:
    """The address in lower case. Raises `Invalid`; no DNS is asked."""
    try:
        found = validate_email(given, check_deliverability=False, test_environment=True)
    except EmailNotValidError as wrong:
        raise Invalid(field, str(wrong)) from None
    return found.normalized.lower()


def _checked(position: int, line: Line) -> Line:
    field = f"items[{position}].sshKeys"
    return replace(line, ssh_keys=tuple(ssh_keys(line.ssh_keys, field=field)))


def _hash(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
