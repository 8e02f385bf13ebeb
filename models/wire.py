"""One connection of psycopg's, spoken to by libpq's own functions.

psycopg's cursors serve every use there is, and a single statement by them costs a
request as much as all of its route. This does what one prepared statement needs, and
nothing else; values and rows are psycopg's own.
"""

import asyncio
import re
import select
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, Self

import psycopg
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

# A database that does not answer for so long is away.
PATIENCE: Final = 5.0

_GOOD: Final = {ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK}
_PLACEHOLDER: Final = re.compile(r"%\((\w+)\)s")


class Wire:
    """Asks one statement after the other; each commits by itself."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection, self._libpq = connection, connection.pgconn
        self._socket = self._libpq.socket
        self._adapted = Transformer(connection)
        self._prepared: dict[tuple[str, tuple[int, ...] | None], bytes] = {}
        self._answer: asyncio.Future[PGresult] | None = None
        self._result: PGresult | None = None
        self._ended = False
        self._loop = asyncio.get_running_loop()
        # For life: to watch a socket anew for every answer costs as much as to send.
        self._loop.add_reader(self._socket, self._readable)
        self._watch = select.poll()
        self._watch.register(self._socket, select.POLLIN)

    @classmethod
    async def open(cls, url: str, *, options: str, name: str) -> Self:
        """A new one. Raises `psycopg.OperationalError`."""
        return cls(
            await psycopg.AsyncConnection.connect(
                url,
                autocommit=True,
                connect_timeout=int(PATIENCE),
                options=options,
                application_name=name,
            )
        )

    @property
    def alive(self) -> bool:
        """Whether it may be asked. An idle server has nothing to say but its end."""
        return not self._ended and not self._watch.poll(0)

    async def ask(
        self, statement: str, values: Mapping[str, Any]
    ) -> list[tuple[Any, ...]]:
        """The rows of the answer. Whatever goes wrong ends the connection."""
        sql, names = _positional(statement)
        adapted = self._adapted
        sent = adapted.dump_sequence(
            [values[name] for name in names], [PyFormat.AUTO] * len(names)
        )
        try:
            name = self._prepared.get((statement, adapted.types))
            if name is None:
                name = f"s{len(self._prepared)}".encode()
                self._libpq.send_prepare(name, sql, adapted.types)
                await self._answered()
                self._prepared[statement, adapted.types] = name
            self._libpq.send_query_prepared(name, sent, adapted.formats)
            result = await self._answered()
        except BaseException as error:
            self._end(error)
            raise
        adapted.set_pgresult(result)
        return adapted.load_rows(0, result.ntuples, tuple)

    def close(self) -> None:
        """Ends the connection, and whatever is asked on it."""
        self._end(psycopg.OperationalError("the connection was closed"))

    async def _answered(self) -> PGresult:
        self._answer = self._loop.create_future()
        cut = self._loop.call_later(PATIENCE, self._cut)
        try:
            self._send()
            result = await self._answer
        finally:
            cut.cancel()
        if result.status not in _GOOD:
            raise psycopg.errors.error_from_result(result)
        return result

    def _send(self) -> None:
        """What the kernel does not take at once is sent as it can."""
        try:
            if self._libpq.flush():
                self._loop.add_writer(self._socket, self._send)
            else:
                self._loop.remove_writer(self._socket)
        except psycopg.Error as error:
            self._end(error)

    def _readable(self) -> None:
        try:
            self._libpq.consume_input()
            while not self._libpq.is_busy():
                result = self._libpq.get_result()
                if result is None:
                    self._tell()
                    return
                self._result = result
        except psycopg.Error as error:
            self._end(error)

    def _tell(self) -> None:
        answer, result = self._answer, self._result
        self._answer = self._result = None
        if answer is not None and result is not None and not answer.done():
            answer.set_result(result)

    def _cut(self) -> None:
        self._end(psycopg.OperationalError("the database does not answer"))

    def _end(self, error: BaseException) -> None:
        if self._ended:
            return
        self._ended = True
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._libpq.finish()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


@cache
def _positional(statement: str) -> tuple[bytes, tuple[str, ...]]:
    """libpq counts its placeholders: the statement so, and the name of each."""
    names = tuple(dict.fromkeys(_PLACEHOLDER.findall(statement)))
    sql = _PLACEHOLDER.sub(lambda found: f"${names.index(found[1]) + 1}", statement)
    return sql.encode(), names
