"""How often somebody may guess."""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from fastapi import HTTPException

from models.errors import Unauthenticated

_MOST_KEYS: Final = 10_000


class Guesses:
    """Counts failures per key, in this process; over the limit it is 429 for a while.

    What succeeds is never counted, so nobody is slowed down by logging in often.
    """

    def __init__(self, limit: int, *, per: float) -> None:
        self._limit, self._per = limit, per
        self._failures: dict[str, deque[float]] = {}

    @contextmanager
    def of(self, key: str) -> Iterator[None]:
        """Around one try; an `Unauthenticated` from inside is a failure."""
        now = time.monotonic()
        failed = self._failures.get(key, deque())
        while failed and failed[0] <= now - self._per:
            failed.popleft()
        if len(failed) >= self._limit:
            wait = int(failed[0] + self._per - now) + 1
            raise HTTPException(
                429,
                f"too many failures; come back in {wait} s",
                headers={"Retry-After": str(wait)},
            )
        try:
            yield
        except Unauthenticated:
            self._remember(key, failed, now)
            raise

    def _remember(self, key: str, failed: deque[float], now: float) -> None:
        # The key that has been quiet for longest goes first.
        self._failures.pop(key, None)
        failed.append(now)
        self._failures[key] = failed
        while len(self._failures) > _MOST_KEYS:
            self._failures.pop(next(iter(self._failures)))
