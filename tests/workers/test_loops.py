"""Small works that never end: woken at once, and not stopped by an error."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

from sqlalchemy import text
from structlog.testing import capture_logs

from models.database import Database
from workers.gates import CHANNEL, AccountGates
from workers.loops import Loop, listen

SELDOM = 3600.0


async def test_a_closed_account_is_known_elsewhere_at_once(db: Database) -> None:
    here, there = AccountGates(db), AccountGates(db)
    async with listening(db, Loop(CHANNEL, SELDOM, there.refresh)):
        delays = []
        for number in range(5):
            account = f"stripe:{number}"
            began = time.monotonic()
            await here.close(account, 60)
            await until(partial(there.rest, account))
            delays.append(time.monotonic() - began)

    assert min(delays) < 1, delays


async def test_only_the_loop_that_is_named_wakes(db: Database) -> None:
    rounds = {"start": 0, "decide": 0}
    loops = [Loop(name, SELDOM, counting(rounds, name)) for name in rounds]
    async with listening(db, *loops):
        await until(lambda: rounds == {"start": 1, "decide": 1})

        await notify(db, "decide")

        await until(lambda: rounds == {"start": 1, "decide": 2})
        await notify(db, "nobody")
        await asyncio.sleep(0.1)
        assert rounds == {"start": 1, "decide": 2}


async def test_after_a_lost_connection_everything_is_looked_at_once(
    db: Database,
) -> None:
    rounds = {"start": 0}
    async with listening(db, Loop("start", SELDOM, counting(rounds, "start"))):
        await until(lambda: rounds["start"] == 1)

        async with db.platform() as session:
            connection = await session.connection()
            await connection.execute(
                text(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where query = 'listen mpanel' and datname = current_database()"
                )
            )

        # What was notified meanwhile nobody heard.
        await until(lambda: rounds["start"] == 2)
        await notify(db, "start")
        await until(lambda: rounds["start"] == 3)


async def test_an_error_ends_one_round_and_not_the_loop() -> None:
    rounds = []

    async def work() -> None:
        rounds.append(time.monotonic())
        if len(rounds) == 1:
            raise RuntimeError("password=hunter2")

    with capture_logs() as logs:
        running = asyncio.create_task(Loop("odd", 0.05, work).run())
        await until(lambda: len(rounds) >= 3)
        running.cancel()
    [told] = logs
    assert told["loop"] == "odd"
    assert "hunter2" not in str(told)


async def test_what_is_notified_during_a_round_is_not_missed(db: Database) -> None:
    began, rounds = asyncio.Event(), 0
    go_on = asyncio.Event()

    async def work() -> None:
        nonlocal rounds
        rounds += 1
        began.set()
        await go_on.wait()

    loop = Loop("start", SELDOM, work)
    running = asyncio.create_task(loop.run())
    await began.wait()
    loop.woken.set()
    go_on.set()
    await until(lambda: rounds == 2)
    running.cancel()


@contextlib.asynccontextmanager
async def listening(db: Database, *loops: Loop) -> AsyncIterator[None]:
    """The loops at work, woken by notifications; the first round is over."""
    for loop in loops:
        loop.woken.set()
    tasks = [asyncio.create_task(listen(db.url, loops))]
    await connected(db)
    tasks += [asyncio.create_task(loop.run()) for loop in loops]
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def connected(db: Database) -> None:
    """Returns when somebody listens."""
    async with asyncio.timeout(60), db.platform() as session:
        connection = await session.connection()
        query = text(
            "select count(*) from pg_stat_activity"
            " where query = 'listen mpanel' and datname = current_database()"
        )
        while not (await connection.execute(query)).scalar_one():
            await asyncio.sleep(0.01)
            await connection.execute(text("select pg_stat_clear_snapshot()"))


def counting(rounds: dict[str, int], name: str) -> Callable[[], Awaitable[None]]:
    async def work() -> None:
        rounds[name] += 1

    return work


async def notify(db: Database, name: str) -> None:
    async with db.platform() as session:
        connection = await session.connection()
        await connection.execute(
            text("select pg_notify('mpanel', :name)"), {"name": name}
        )
        await session.commit()


async def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.002)
