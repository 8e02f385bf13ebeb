"""Rows that are tried again and again until one try ends well: which of them are under
way in this process, and which rest."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog

from activities.errors import redacted

_log = structlog.get_logger(__name__)
# A row, and which generation of it.
Key = tuple[UUID, int]
_LONGEST_REST: Final = 10.0
_FORGOTTEN_AFTER: Final = 600.0
# So long a round waits for what it has begun; the rest goes on beside the next one.
_ROUND: Final = 0.5


@dataclass
class _Tried:
    failed: int
    rests_until: float


class Tries:
    """`at_once` first tries may be under way, and beside them `slow` later ones: what
    fails again and again takes no place from what is new."""

    def __init__(self, *, at_once: int, slow: int) -> None:
        self._first, self._slow = asyncio.Semaphore(at_once), asyncio.Semaphore(slow)
        self._under_way: dict[Key, asyncio.Task[None]] = {}
        self._tried: dict[Key, _Tried] = {}

    def not_now(self) -> list[Key]:
        """Under way, or resting: whoever looks for work looks for other rows."""
        now = time.monotonic()
        self._tried = {
            key: tried
            for key, tried in self._tried.items()
            if tried.rests_until > now - _FORGOTTEN_AFTER
        }
        resting = {key for key, one in self._tried.items() if one.rests_until > now}
        return list(resting | self._under_way.keys())

    def begin(
        self, key: Key, work: Callable[[], Awaitable[float | None]], *, slow: bool
    ) -> None:
        """One try. `work` gives how many seconds the row rests, or None: it is done.

        What it raises is logged, and the row rests longer each time.
        """
        lane = self._slow if slow or key in self._tried else self._first
        task = asyncio.create_task(self._try(key, work, lane))
        self._under_way[key] = task
        task.add_done_callback(lambda _: self._under_way.pop(key, None))

    async def settle(self) -> None:
        """Waits for what is under way, but not for what takes long."""
        if self._under_way:
            await asyncio.wait(self._under_way.values(), timeout=_ROUND)

    async def end(self) -> None:
        """Ends what is under way; its rows are found again."""
        under_way = list(self._under_way.values())
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    async def _try(
        self,
        key: Key,
        work: Callable[[], Awaitable[float | None]],
        lane: asyncio.Semaphore,
    ) -> None:
        failed = 0
        try:
            async with lane:
                rest = await work()
        except Exception as error:  # noqa: BLE001 - logged, and tried again
            told = redacted(f"{type(error).__name__}: {error}")
            _log.warning("put_off", id=str(key[0]), error=told)
            failed = self._tried[key].failed + 1 if key in self._tried else 1
            rest = min(_LONGEST_REST, 2.0 ** (failed - 1))
        if rest is None:
            self._tried.pop(key, None)
        else:
            self._tried[key] = _Tried(failed, time.monotonic() + rest)
