"""Stripe's form bodies: `items[0][price]=price_1&metadata[a]=b&expand[]=customer`.

    given = params.take("amount", amount=integer, items=array(struct(...)))

takes what an operation knows and refuses the rest, in Stripe's words.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qsl

from simulators.stripe.errors import StripeError

Kind = Callable[[str, Any], Any]

_KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)$")


def text(name: str, value: Any) -> str | None:
    """The empty string unsets."""
    if not isinstance(value, str):
        raise StripeError.invalid(f"Invalid string: {value}", name)
    return value or None


def integer(name: str, value: Any) -> int:
    """A whole number; amounts and times are such."""
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,15}", value):
        return int(value)
    code = "parameter_invalid_integer"
    raise StripeError.invalid(f"Invalid integer: {value}", name, code)


def boolean(name: str, value: Any) -> bool:
    """`true` or `false`."""
    if value not in ("true", "false"):
        raise StripeError.invalid(f"Invalid boolean: {value}", name)
    return bool(value == "true")


def one_of(*choices: str) -> Kind:
    """One of some words."""

    def kind(name: str, value: Any) -> str:
        if value not in choices:
            words = ", ".join(choices)
            raise StripeError.invalid(f"Invalid {name}: must be one of {words}", name)
        return str(value)

    return kind


def anything(name: str, value: Any) -> Any:  # noqa: ARG001
    """Accepted unseen: it changes nothing here."""
    return value


def metadata(name: str, value: Any) -> dict[str, str]:
    """At most 50 keys; an empty value removes its key (see `merged`)."""
    if value == "":
        return {}
    if not isinstance(value, dict) or not all(
        isinstance(v, str) for v in value.values()
    ):
        raise StripeError.invalid("Invalid hash", name)
    if len(value) > 50 or any(len(text(k, v) or "") > 500 for k, v in value.items()):
        raise StripeError.invalid("Metadata is too large", name)
    return value


def merged(old: dict[str, str], new: dict[str, str]) -> dict[str, str]:
    """Metadata after an update."""
    return {k: v for k, v in {**old, **new}.items() if v != ""}


def struct(*required: str, **kinds: Kind) -> Kind:
    """A hash with these fields and no other."""

    def kind(name: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise StripeError.invalid("Invalid object", name)
        return _take(value, required, kinds, name)

    return kind


def array(of: Kind) -> Kind:
    """A list, indexed or with empty brackets."""

    def kind(name: str, value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise StripeError.invalid("Invalid array", name)
        return [of(f"{name}[{i}]", item) for i, item in enumerate(value)]

    return kind


def _take(
    given: dict[str, Any], required: Sequence[str], kinds: dict[str, Kind], within: str
) -> dict[str, Any]:
    def full(name: str) -> str:
        return f"{within}[{name}]" if within else name

    for name in given:
        if name not in kinds:
            message = f"Received unknown parameter: {full(name)}"
            raise StripeError.invalid(message, full(name), "parameter_unknown")
    for name in required:
        if given.get(name, "") == "":
            message = f"Missing required param: {full(name)}."
            raise StripeError.invalid(message, full(name), "parameter_missing")
    return {name: kinds[name](full(name), value) for name, value in given.items()}


class Params:
    """The parameters of one request, of the query or of the body."""

    def __init__(self, encoded: str) -> None:
        self.given: dict[str, Any] = {}
        for key, value in parse_qsl(encoded, keep_blank_values=True):
            _insert(self.given, key, value)
        self.given = _with_lists(self.given)
        expand = self.given.pop("expand", [])
        self.expand: list[str] = expand if isinstance(expand, list) else [expand]

    def take(self, *required: str, **kinds: Kind) -> dict[str, Any]:
        """Only what was given. Raises `StripeError`."""
        return _take(self.given, required, kinds, "")


def _insert(into: dict[str, Any], key: str, value: str) -> None:
    if not (match := _KEY.match(key)):
        raise StripeError.invalid(f"Invalid parameter name: {key}", key)
    path = [match[1], *re.findall(r"\[([^\[\]]*)\]", match[2])]
    for part in path[:-1]:
        into = into.setdefault(part or str(len(into)), {})
        if not isinstance(into, dict):
            raise StripeError.invalid("Invalid object", key)
    into[path[-1] or str(len(into))] = value


def _with_lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {k: _with_lists(v) for k, v in value.items()}
    if inner and all(k.isdigit() for k in inner):
        return [inner[k] for k in sorted(inner, key=int)]
    return inner
