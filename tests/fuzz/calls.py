"""What is sent: what the document allows, and what nobody has thought of."""

import json
import random
from collections.abc import Iterator, Sequence
from typing import Any, Final

from tests.fuzz.things import Ids

NUL: Final = "a\x00b"
SURROGATE: Final = "\ud800"
ODD_VALUES: Final[tuple[Any, ...]] = (
    NUL,
    SURROGATE,
    "\u202e\U0001f4a9" * 60,
    "x" * 70_000,
    "",
    " ",
    10**30,
    -(2**63) - 1,
    2**31,
    1e308,
    float("nan"),
    float("inf"),
    -1,
    True,
    None,
    [],
    {},
    ["a", ["b"]],
    {"$ne": 1},
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999+14:00",
    "00000000-0000-0000-0000-000000000000",
    "user@xn--a.example",
    "'; drop table orders; --",
    "../../etc/passwd",
)
ODD_BODIES: Final = (
    b"",
    b"{",
    b"\xff\xfe",
    b'{"a": 1, "a": 2}',
    b"[" * 2_000 + b"]" * 2_000,
    b'{"a":' * 2_000 + b"1" + b"}" * 2_000,
    b"null",
    b"1e999",
    b'"\\ud800"',
    b"9" * 5_000,
)
ODD_HEADERS: Final = (
    {"Idempotency-Key": "\xe9" * 10},
    {"Idempotency-Key": "k" * 4_000},
    {"Idempotency-Key": ""},
    {"X-Request-Id": "\xff'\"{}"},
    {"X-API-Key": "\xff" * 40},
    {"X-API-Key": ""},
    {"Authorization": "Bearer \xff"},
    {"Authorization": "Bearer"},
    {"Authorization": "Basic YTpi"},
    {"Content-Type": "text/plain"},
    {"Content-Type": "application/json; charset=utf-99"},
    {"Content-Type": "multipart/form-data; boundary="},
    {"Content-Type": "\xff"},
    {"Last-Event-ID": "\xff"},
    {"User-Agent": "\xff" * 3_000},
    {"Accept": "image/png"},
    {"Cookie": "\xff=\xff; session=a"},
    {"X-Forwarded-For": "not an address"},
    {"Host": "\xff"},
    {"Origin": "null"},
)


def existing(path: str, known: Ids, dice: random.Random) -> str:
    """An id for `{id}` of this path: mostly one of its own noun."""
    nouns = path.replace("-", "_").split("/{", maxsplit=1)[0].split("/")[2:]
    if nouns[-1] == "inbox":
        nouns = ["jobs"]
    fit = known.get("_".join(reversed(nouns))) or known.get(nouns[-1])
    anything = [one for each in known.values() for one in each]
    return dice.choice(fit if fit and dice.random() < 0.9 else anything)


def with_known(value: Any, known: Ids, dice: random.Random) -> Any:
    """The same with some ids of what exists: `customerId` is one of the customers."""
    if isinstance(value, list):
        return [with_known(each, known, dice) for each in value]
    if not isinstance(value, dict):
        return value
    given = {}
    for name, each in value.items():
        table = f"{name.removesuffix('Id').lower()}s"
        if name.endswith("Id") and known.get(table) and dice.random() < 0.8:
            given[name] = dice.choice(known[table])
        else:
            given[name] = with_known(each, known, dice)
    return given


def spoil(sent: dict[str, Any], queries: Sequence[str], dice: random.Random) -> None:
    """Every third request gets something odd: a header, a body, a value."""
    kind = dice.choice(("value", "body", "header", "query", *[""] * 8))
    if kind == "header":
        sent["headers"].update(dice.choice(ODD_HEADERS))
    elif kind == "query" and queries:
        odd = str(dice.choice(ODD_VALUES)).encode("utf-8", "surrogatepass")
        sent["params"] = {**(sent.get("params") or {}), dice.choice(queries): odd}
    elif kind == "body" or (kind == "value" and "json" in sent):
        body = sent.pop("json", None)
        given = _with_odd(body, dice) if kind == "value" else dice.choice(ODD_BODIES)
        sent["data"] = given
        sent["headers"]["Content-Type"] = "application/json"


def _with_odd(value: Any, dice: random.Random) -> bytes:
    """The body with an odd value somewhere, as JSON."""
    value = json.loads(json.dumps(value))
    places = list(_places(value))
    if not places:
        return json.dumps(dice.choice(ODD_VALUES)).encode()
    holder, key = dice.choice(places)
    holder[key] = dice.choice(ODD_VALUES)
    return json.dumps(value).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    if not isinstance(value, dict | list):
        return
    for key in value if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])
