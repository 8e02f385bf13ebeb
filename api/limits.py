"""How many calls a minute somebody may make, and how they are told.

A caller is a user or a key, else an address; each kind of call has a count of its own.
A minute begins with the first call in it, so what is admitted is exact, and a caller
that waits as told is heard.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from typing import Any, Final, TypeVar

from starlette.types import Scope

from models.calls import WINDOW_SECONDS
from models.errors import TooMany
from models.queries.entries import Entered

_QUOTA: Final = "mpanel.quota"


class Kind(StrEnum):
    DEFAULT = "default"
    LOGIN = "login"
    POLL = "poll"
    WEBHOOK = "webhook"


_KINDS: Final[dict[object, Kind]] = {}

# Whose count a call goes by if it brings a token or a key; else by its address.
BY_TOKEN: Final = frozenset({Kind.DEFAULT, Kind.POLL})
BY_KEY: Final = frozenset({Kind.DEFAULT, Kind.POLL, Kind.WEBHOOK})


Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


def counted_as(kind: Kind) -> Callable[[Endpoint], Endpoint]:
    """Below the decorator of a route. Every other route is of the default kind."""

    def known(endpoint: Endpoint) -> Endpoint:
        _KINDS[endpoint] = kind
        return endpoint

    return known


def kind_of(scope: Scope) -> Kind:
    """That of the route which serves the call."""
    return _KINDS.get(scope["endpoint"], Kind.DEFAULT)


@dataclass(frozen=True)
class Quota:
    """What is left of a caller's minute."""

    kind: Kind
    limit: int
    entered: Entered

    @property
    def retry_after(self) -> int:
        """Whole seconds after which the next call is admitted."""
        return max(1, ceil(self.entered.seconds))

    def spend(self, scope: Scope) -> None:
        """Has the answer tell what is left. Raises `TooMany`."""
        scope[_QUOTA] = self
        if self.entered.hits > self.limit:
            raise TooMany(
                f"{self.limit} calls a minute are allowed; come back in"
                f" {self.retry_after} s",
                retry_after=self.retry_after,
                limit=self.limit,
            )


def told(scope: Scope) -> list[tuple[bytes, bytes]]:
    """The documented headers, and those of the IETF's draft."""
    quota: Quota | None = scope.get(_QUOTA)
    if quota is None:
        return []
    kind, limit, reset = quota.kind.value, quota.limit, quota.retry_after
    left = max(0, limit - quota.entered.hits)
    return [
        (b"x-ratelimit-limit", b"%d" % limit),
        (b"x-ratelimit-remaining", b"%d" % left),
        (b"x-ratelimit-reset", b"%d" % ceil(quota.entered.ends_at)),
        (
            b"ratelimit-policy",
            f'"{kind}";q={limit};w={WINDOW_SECONDS}'.encode(),
        ),
        (b"ratelimit", f'"{kind}";r={left};t={reset}'.encode()),
    ]
