"""Small works that never end, woken by PostgreSQL or by the clock.

Each is driven by rows, so it may die anywhere and go on in another process. They are
loops and not Temporal schedules because they must work when Temporal was away.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import psycopg
import structlog

from activities.errors import redacted
from models.database import listening

_log = structlog.get_logger(__name__)
_SOON = 60.0


@dataclass
class Loop:
    """`work` runs every `every` seconds, and at once when `name` is notified.

    `end` ends what a round has left under way.
    """

    name: str
    every: float
    work: Callable[[], Awaitable[None]]
    end: Callable[[], Awaitable[None]] | None = None
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """For ever; an error is logged, and soon the next round tries again."""
        try:
            await self._rounds()
        finally:
            if self.end is not None:
                await self.end()

    async def _rounds(self) -> None:
        while True:
            self.woken.clear()
            wait = self.every
            try:
                await self.work()
            except Exception as error:  # noqa: BLE001 - the loop outlives its errors
                told = redacted(f"{type(error).__name__}: {error}")
                _log.warning("loop_failed", loop=self.name, error=told)
                wait = min(_SOON, self.every)
                await asyncio.sleep(min(1.0, self.every))
            # Not wait_for: in 3.11 it may swallow the cancellation that ends us.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self.woken.wait()


async def listen(url: str, loops: Sequence[Loop]) -> None:
    """Wakes the loop that a notification on `mpanel` names; reconnects for ever."""
    by_name = {loop.name: loop for loop in loops}
    while True:
        try:
            async with await listening(url, "mpanel") as connection:
                for loop in loops:  # what was notified while nobody listened
                    loop.woken.set()
                async for notice in connection.notifies():
                    if named := by_name.get(notice.payload):
                        named.woken.set()
        except (psycopg.Error, OSError) as error:
            _log.warning("listen_lost", error=type(error).__name__)
            await asyncio.sleep(0.5)
