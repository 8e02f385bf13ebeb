"""A few connections for single statements, which the quick paths ask.

Each commits by itself and has the platform's scope for life; nobody borrows them, so
nothing leaks. The ORM's session would cost a request more than all the rest of it.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import psycopg

from models.wire import PATIENCE, Wire

__all__ = ["PATIENCE", "Direct"]

# A burst of calls may stand in line for longer than one call waits.
IN_LINE: Final = 15.0

_SCOPE: Final = "-c mpanel.scope=platform"
_LAX: Final = f"{_SCOPE} -c synchronous_commit=off"


class Direct:
    """Asks single statements. `psycopg.OperationalError` if the database is away.

    What is not `durable` may be lost with the server: nobody waits for its disk.
    """

    def __init__(self, url: str, *, durable: bool, size: int = 4) -> None:
        self._url = url.replace("postgresql+psycopg://", "postgresql://", 1)
        self._options = _SCOPE if durable else _LAX
        self._name = "mpanel-orders" if durable else "mpanel-entry"
        self._free = asyncio.Semaphore(size)
        self._idle: list[Wire] = []

    async def row(
        self, statement: str, values: Mapping[str, Any]
    ) -> tuple[Any, ...] | None:
        """The first row of the answer."""
        rows = await self.rows(statement, values)
        return rows[0] if rows else None

    async def rows(
        self, statement: str, values: Mapping[str, Any]
    ) -> list[tuple[Any, ...]]:
        """All rows of the answer. Not asked twice, whatever befalls."""
        if self._free.locked():
            try:
                async with asyncio.timeout(IN_LINE):
                    await self._free.acquire()
            except TimeoutError:
                raise psycopg.OperationalError("no connection was free") from None
        else:
            await self._free.acquire()
        try:
            wire = await self._wire()
            rows = await wire.ask(statement, values)
            self._idle.append(wire)
            return rows
        finally:
            self._free.release()

    async def close(self) -> None:
        """Ends every connection."""
        while self._idle:
            self._idle.pop().close()

    async def _wire(self) -> Wire:
        while self._idle:
            wire = self._idle.pop()
            if wire.alive:
                return wire
            wire.close()
        return await Wire.open(self._url, options=self._options, name=self._name)
