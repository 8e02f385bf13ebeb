"""The engine, and sessions that belong to one tenant or, by name, to the platform.

The application's role neither owns the tables nor bypasses row-level security. Who a
session works for is set at the begin of each transaction and ends with it, so nothing
leaks through the pool: a session that names nobody sees nothing.
"""

import select
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError, InvalidatePoolError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlmodel import Session as SyncSession
from sqlmodel.ext.asyncio.session import AsyncSession as Session

from models.direct import Direct

__all__ = ["Ask", "Database", "Session", "asking", "listening", "tell_driver"]

# One round trip begins the transaction and says whom it works for.
_BEGIN: Final = (
    "begin {mode}; select set_config('mpanel.tenant', '{tenant}', true),"
    " set_config('mpanel.scope', '{scope}', true)"
)
# A peer that vanished without a word is noticed by the kernel, not by a query.
_KEPT_ALIVE: Final = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


class _ScopedSession(SyncSession):
    """Sets whom it works for in every transaction it begins."""


@event.listens_for(_ScopedSession, "after_begin")
def _after_begin(session: SyncSession, _: Any, connection: Connection) -> None:
    _begin(connection, session.info)


def _begin(connection: Connection, info: Mapping[Any, Any]) -> None:
    """Begins the driver's transaction for whom `info` names; a savepoint is in one."""
    raw: Any = connection.connection.dbapi_connection
    if raw.driver_connection.info.transaction_status is not TransactionStatus.IDLE:
        return
    tenant = info.get("tenant")
    statement = _BEGIN.format(
        tenant=UUID(tenant) if tenant else "",
        scope="platform" if info.get("scope") == "platform" else "",
        mode="read only" if info.get("mode") == "read" else "",
    )
    try:
        raw.run_async(lambda driver: driver.execute(statement, prepare=False))
    except psycopg.Error as error:
        connection.invalidate(error)
        raise OperationalError(
            "begin", None, error, connection_invalidated=True
        ) from error


def _begin_nothing_by_itself(connection: Any, _record: Any) -> None:
    """The driver would spend a round trip on its own `begin`."""
    connection.autocommit = True


def _must_be_alive(connection: Any, _record: Any, _proxy: Any) -> None:
    """A server that restarted has closed the socket: no question is needed to see it.

    An idle connection has nothing to say, so whatever can be read there is its end.
    """
    try:
        socket = connection.driver_connection.fileno()
    except psycopg.Error as closed:
        raise InvalidatePoolError from closed
    watch = select.poll()
    watch.register(socket, select.POLLIN)
    if watch.poll(0):
        raise InvalidatePoolError


class Database:
    """One pool of connections; sessions are short and made per piece of work.

    `direct`: for a statement that is a transaction by itself, and may be lost.
    Only its sessions begin transactions: a connection of the engine's own has none.
    """

    def __init__(self, url: str, *, pool_size: int = 10, max_overflow: int = 10):
        self.url = url.replace("postgresql://", "postgresql+psycopg://", 1)
        self.engine: AsyncEngine = create_async_engine(
            self.url,
            pool_size=pool_size,
            max_overflow=max_overflow,
            # Values of a failing statement stay out of errors and logs.
            hide_parameters=True,
            pool_timeout=10,
            # The same few connections are used while they suffice: they know our
            # statements, which are planned once and not at each call.
            pool_use_lifo=True,
            connect_args={"connect_timeout": 5, "prepare_threshold": 1, **_KEPT_ALIVE},
        )
        self.direct = Direct(url, durable=False, size=2)
        event.listen(self.engine.sync_engine, "connect", _begin_nothing_by_itself)
        event.listen(self.engine.sync_engine, "checkout", _must_be_alive)

    @asynccontextmanager
    async def _session(self, info: dict[str, str]) -> AsyncIterator[Session]:
        session = Session(
            self.engine,
            expire_on_commit=False,
            sync_session_class=_ScopedSession,
            info=info,
        )
        async with session:
            yield session

    @asynccontextmanager
    async def tenant(self, tenant_id: UUID) -> AsyncIterator[Session]:
        """A session that sees the rows of this tenant. The caller commits."""
        async with self._session({"tenant": str(tenant_id)}) as session:
            yield session

    @asynccontextmanager
    async def platform(self) -> AsyncIterator[Session]:
        """Login, webhooks, sweep and reconciler: sees every tenant's rows."""
        async with self._session({"scope": "platform"}) as session:
            yield session

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[Session]:
        """As `platform`, but sees only and changes nothing.

        Ends in a commit: at a rollback the driver forgets the statements that its
        connection has prepared.
        """
        async with self._session({"scope": "platform", "mode": "read"}) as session:
            yield session
            await session.commit()

    @asynccontextmanager
    async def around(
        self, tenant_id: UUID | None
    ) -> AsyncIterator[tuple[AsyncConnection, Session]]:
        """A transaction, and a session whose commits hold once it commits.

        For a tenant, or None: the platform. The caller commits the connection.
        """
        platform = {"scope": "platform"}
        info = platform if tenant_id is None else {"tenant": str(tenant_id)}
        async with self.engine.connect() as connection:
            await connection.begin()
            await connection.run_sync(_begin, info)
            session = Session(
                connection,
                expire_on_commit=False,
                sync_session_class=_ScopedSession,
                info=info,
                join_transaction_mode="create_savepoint",
            )
            async with session:
                yield connection, session

    @asynccontextmanager
    async def nobody(self) -> AsyncIterator[Session]:
        """A session without a tenant: what a forgotten scope would see."""
        async with self._session({}) as session:
            yield session

    async def close(self) -> None:
        """Ends every connection."""
        await self.direct.close()
        await self.engine.dispose()


async def listening(url: str, channel: str) -> psycopg.AsyncConnection:
    """A connection that is told what is notified there. It has nothing to say, so that
    only the kernel notices a server that vanished. Raises `psycopg.Error`."""
    plain = url.replace("postgresql+psycopg://", "postgresql://", 1)
    connection = await psycopg.AsyncConnection.connect(
        make_conninfo(plain, connect_timeout=5, **_KEPT_ALIVE), autocommit=True
    )
    await connection.execute(f"listen {channel}".encode())
    return connection


# One statement and its values, to the rows of the answer.
Ask = Callable[[str, Mapping[str, Any]], Awaitable[list[Any]]]


def asking(session: Session) -> Ask:
    """Asks in the session's transaction, past SQLAlchemy."""
    return partial(tell_driver, session)


async def tell_driver(
    session: Session, statement: str, values: Mapping[str, Any]
) -> list[Any]:
    """The rows of one statement in the session's transaction, past SQLAlchemy.

    For the paths that must be quick. Placeholders are the driver's: `%(name)s`.
    """
    connection = await session.connection()
    raw: Any = (await connection.get_raw_connection()).driver_connection
    try:
        cursor = await raw.execute(statement, values)
        return list(await cursor.fetchall()) if cursor.description else []
    except psycopg.Error as error:
        if raw.closed:
            await connection.invalidate(error)
        raise _as_sqlalchemy_would(error, statement, gone=raw.closed) from error


def _as_sqlalchemy_would(
    error: psycopg.Error, statement: str, *, gone: bool
) -> BaseException:
    return DBAPIError.instance(
        statement,
        None,
        error,
        psycopg.Error,
        hide_parameters=True,
        connection_invalidated=gone,
    )
