"""The pool outlives its server's restarts, and spends no question on it."""

import asyncio
import os
import socket
from typing import Any

import psycopg
from sqlalchemy import event, text

from models.database import Database, Session, listening


async def test_a_connection_that_the_server_ended_is_replaced_unseen(
    db: Database, app_url: str
) -> None:
    sessions = [db.platform() for _ in range(3)]
    for session in sessions:
        await (await (await session.__aenter__()).connection()).execute(
            text("select 1")
        )
    for session in sessions:
        await session.__aexit__(None, None, None)
    backends = await _backends(db)

    with psycopg.connect(app_url) as another:
        another.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where pid = any(%s)",
            [backends],
        )
    await ended(app_url, *backends)

    for _ in range(3):
        async with db.platform() as session:
            assert await _ask(session, "select 1") == 1


async def test_whoever_only_listens_has_the_kernel_look_whether_the_server_is_there(
    db: Database,
) -> None:
    """It never asks anything: a server that vanished would be waited for for ever."""
    async with await listening(db.url, "mpanel_jobs") as ear:
        with socket.socket(fileno=os.dup(ear.fileno())) as end:
            assert end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) <= 30
        async with db.platform() as session:
            await _ask(session, "select pg_notify('mpanel_jobs', 'x')")
            await session.commit()
        async with asyncio.timeout(60):
            assert [one.payload async for one in ear.notifies(stop_after=1)] == ["x"]


async def ended(app_url: str, *backends: int) -> None:
    """Until none of these is left; each has told its client before."""
    left = "select count(*) from pg_stat_activity where pid = any(%s)"
    async with (
        asyncio.timeout(60),
        await psycopg.AsyncConnection.connect(app_url, autocommit=True) as another,
    ):
        while (await (await another.execute(left, [[*backends]])).fetchone()) != (0,):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def _backends(db: Database) -> list[int]:
    async with db.platform() as session:
        found = await (await session.connection()).scalars(
            text(
                "select pid from pg_stat_activity where usename = current_user"
                " and datname = current_database()"
            )
        )
        return list(found.all())


async def test_a_savepoint_keeps_the_scope_and_the_transaction(db: Database) -> None:
    async with db.platform() as session:
        connection = await session.connection()
        await connection.execute(text("create temporary table t (n int)"))
        async with session.begin_nested():
            await connection.execute(text("insert into t values (1)"))
        scope = await _ask(session, "select current_setting('mpanel.scope')")
        assert scope == "platform"
        await session.rollback()
        gone = await (await session.connection()).execute(
            text("select to_regclass('t')")
        )
        assert gone.scalar_one() is None


async def test_a_transaction_costs_one_round_trip_to_begin(db: Database) -> None:
    sent: list[str] = []
    event.listen(
        db.engine.sync_engine,
        "before_cursor_execute",
        lambda *told: sent.append(told[2]),
    )
    async with db.platform() as session:
        await _ask(session, "select 1")

    assert sent == ["select 1"]


async def _ask(session: Session, question: str) -> Any:
    return (await (await session.connection()).execute(text(question))).scalar_one()
