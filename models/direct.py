"""A few connections for the one statement that every request begins with.

Each commits by itself and has the platform's scope for life; nobody borrows them, so
nothing leaks. The driver is spoken to directly: the ORM's session would cost a request
more than all the rest of it.
"""

import asyncio
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, LiteralString

import psycopg

# A database that does not answer for so long is away.
PATIENCE: Final = 5.0
# A burst of calls may stand in line for longer.
IN_LINE: Final = 15.0

# What is counted here may be lost with the server; nobody waits for its disk.
_OPTIONS: Final = "-c mpanel.scope=platform -c synchronous_commit=off"

Connection = psycopg.AsyncConnection[tuple[Any, ...]]


class Direct:
    """Asks single statements. `psycopg.OperationalError` if the database is away."""

    def __init__(self, url: str, *, size: int = 4) -> None:
        self._url = url.replace("postgresql+psycopg://", "postgresql://", 1)
        self._free = asyncio.Semaphore(size)
        self._idle: list[Connection] = []

    async def row(
        self, statement: LiteralString, values: Mapping[str, Any]
    ) -> tuple[Any, ...] | None:
        """The first row of the answer."""
        if self._free.locked():
            try:
                async with asyncio.timeout(IN_LINE):
                    await self._free.acquire()
            except TimeoutError:
                raise psycopg.OperationalError("no connection was free") from None
        else:
            await self._free.acquire()
        try:
            return await self._asked(statement, values)
        finally:
            self._free.release()

    async def close(self) -> None:
        """Ends every connection."""
        while self._idle:
            await self._idle.pop().close()

    async def _asked(
        self, statement: LiteralString, values: Mapping[str, Any]
    ) -> tuple[Any, ...] | None:
        while self._idle:
            connection = self._idle.pop()
            try:
                return await self._on(connection, statement, values)
            except psycopg.OperationalError as error:
                # The server has restarted since; whoever was cut off has waited enough.
                if isinstance(error, _Cut):
                    raise
        connection = await psycopg.AsyncConnection.connect(
            self._url,
            autocommit=True,
            connect_timeout=int(PATIENCE),
            options=_OPTIONS,
            application_name="mpanel-entry",
        )
        return await self._on(connection, statement, values)

    async def _on(
        self,
        connection: Connection,
        statement: LiteralString,
        values: Mapping[str, Any],
    ) -> tuple[Any, ...] | None:
        cut = asyncio.get_running_loop().call_later(PATIENCE, _cut, connection)
        try:
            cursor = await connection.execute(statement, values, prepare=True)
            row = await cursor.fetchone()
        except BaseException as error:
            await connection.close()
            if isinstance(error, psycopg.OperationalError) and cut.when() <= (
                asyncio.get_running_loop().time()
            ):
                raise _Cut("the database does not answer") from None
            raise
        finally:
            cut.cancel()
        self._idle.append(connection)
        return row


class _Cut(psycopg.OperationalError):
    """We ended the connection, since it was silent."""


def _cut(connection: Connection) -> None:
    """Ends the socket under whoever waits: a cancelled query would wait on."""
    with suppress(OSError, psycopg.Error):
        end = socket.socket(fileno=os.dup(connection.fileno()))
        with end:
            end.shutdown(socket.SHUT_RDWR)
