"""What changes, told to whoever watches: one listening connection for the process.

It carries ids and nothing else. Whoever is woken reads rows in their own sight, in a
short session of their own: a stream holds no connection while nothing happens.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Final
from uuid import UUID

import psycopg
import structlog

from models.database import listening
from models.errors import TooMany

CHANNEL: Final = "mpanel_jobs"
INBOX: Final = "inbox"

_log = structlog.get_logger(__name__)
_AGAIN: Final = 0.5


class Watch:
    """One stream's ear. Several changes in a row wake it once."""

    def __init__(self, feed: "Feed") -> None:
        self._feed = feed
        self.woken = asyncio.Event()

    async def changed(self, *, within: float) -> bool:
        """Returns when something has changed, or False after so many seconds."""
        # Not wait_for: in 3.11 it may swallow the cancellation that ends us.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self.woken.wait()
        changed = self.woken.is_set()
        self.woken.clear()
        return changed

    @property
    def over(self) -> bool:
        """The process is about to end: so is the stream."""
        return self._feed.over


class Feed:
    """`most` streams at once, of which one user may have `most_of_one`."""

    def __init__(self, url: str, *, most: int = 500, most_of_one: int = 20) -> None:
        self._url = url
        self._most, self._most_of_one = most, most_of_one
        self._watches: dict[str, set[Watch]] = {}
        self._of_one: dict[UUID, int] = {}
        self.over = False

    @contextlib.contextmanager
    def watching(self, topic: UUID | None, by: UUID) -> Iterator[Watch]:
        """For a job, or None for the inbox. Raises `TooMany`."""
        mine = self._of_one.get(by, 0)
        if sum(self._of_one.values()) >= self._most or mine >= self._most_of_one:
            raise TooMany("too many streams are open: close some", retry_after=10)
        watch, key = Watch(self), str(topic) if topic else INBOX
        self._of_one[by] = mine + 1
        self._watches.setdefault(key, set()).add(watch)
        try:
            yield watch
        finally:
            self._watches[key].discard(watch)
            if not self._watches[key]:
                del self._watches[key]
            self._of_one[by] -= 1
            if not self._of_one[by]:
                del self._of_one[by]

    @property
    def open(self) -> int:
        """How many streams there are."""
        return sum(self._of_one.values())

    async def run(self) -> None:
        """Listens until it is cancelled, and reconnects for ever."""
        while True:
            try:
                async with await listening(self._url, CHANNEL) as connection:
                    self._wake_all()  # for what was told while nobody listened
                    async for notice in connection.notifies():
                        for word in notice.payload.split():
                            self._wake(word)
            except (psycopg.Error, OSError) as error:
                _log.warning("feed_lost", error=type(error).__name__)
                await asyncio.sleep(_AGAIN)

    def end(self) -> None:
        """Every stream ends by itself, so that the process can."""
        self.over = True
        self._wake_all()

    def _wake(self, word: str) -> None:
        for watch in self._watches.get(word, ()):
            watch.woken.set()

    def _wake_all(self) -> None:
        for word in self._watches:
            self._wake(word)
