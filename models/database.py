"""The engine, and sessions that belong to one tenant or, by name, to the platform.

The application's role neither owns the tables nor bypasses row-level security. Who a
session works for is set at the begin of each transaction and ends with it, so nothing
leaks through the pool: a session that names nobody sees nothing.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, event, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlmodel import Session as SyncSession
from sqlmodel.ext.asyncio.session import AsyncSession as Session

__all__ = ["Database", "Session"]

_SCOPE = text(
    "select set_config('mpanel.tenant', :tenant, true),"
    " set_config('mpanel.scope', :scope, true)"
)


class _ScopedSession(SyncSession):
    """Sets whom it works for in every transaction it begins."""


@event.listens_for(_ScopedSession, "after_begin")
def _name_the_tenant(
    session: SyncSession, _transaction: Any, connection: Connection
) -> None:
    connection.execute(
        _SCOPE,
        {
            "tenant": session.info.get("tenant", ""),
            "scope": session.info.get("scope", ""),
        },
    )


class Database:
    """One pool of connections; sessions are short and made per piece of work."""

    def __init__(self, url: str, *, pool_size: int = 10, max_overflow: int = 10):
        self.url = url.replace("postgresql://", "postgresql+psycopg://", 1)
        self.engine: AsyncEngine = create_async_engine(
            self.url,
            pool_size=pool_size,
            max_overflow=max_overflow,
            pool_pre_ping=True,
            # Values of a failing statement stay out of errors and logs.
            hide_parameters=True,
            pool_timeout=10,
            connect_args={"connect_timeout": 5},
        )

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
    async def around(
        self, tenant_id: UUID | None
    ) -> AsyncIterator[tuple[AsyncConnection, Session]]:
        """A transaction, and a session whose commits hold once it commits.

        For a tenant, or None: the platform. The caller commits the connection.
        """
        scope = {"scope": "platform"}
        info = scope if tenant_id is None else {"tenant": str(tenant_id)}
        async with self.engine.connect() as connection:
            await connection.execute(_SCOPE, {"tenant": "", "scope": "", **info})
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
        """Ends every pooled connection."""
        await self.engine.dispose()
