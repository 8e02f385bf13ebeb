"""Single statements past the ORM: many at once, and whatever befalls a connection."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import uuid4

import psycopg
import pytest

from models.database import Database
from models.direct import Direct
from tests.models.test_database import ended

_WHO = "select pg_backend_pid()"


@pytest.fixture
async def direct(db: Database, app_url: str) -> AsyncIterator[Direct]:
    made = Direct(app_url, durable=True, size=2)
    yield made
    await made.close()


async def test_values_and_rows_are_as_the_driver_has_them(direct: Direct) -> None:
    sent = {"id": uuid4(), "at": datetime.now(UTC), "words": ["a,b", 'c"', ""], "n": 7}
    for number in (7, 70_000, 7_000_000_000):
        values = {**sent, "n": number, "none": None}
        assert (
            await direct.rows(
                "select %(id)s::uuid, %(at)s::timestamptz, %(words)s::text[],"
                " %(n)s::int8, %(none)s::text, %(id)s::uuid from generate_series(1, 2)",
                values,
            )
            == [(*values.values(), sent["id"])] * 2
        )


async def test_many_at_once_stand_in_line(direct: Direct) -> None:
    asked = [direct.row("select %(n)s::int", {"n": n}) for n in range(100)]
    assert await asyncio.gather(*asked) == [(n,) for n in range(100)]


async def test_more_than_the_kernel_takes_at_once_is_sent_whole(direct: Direct) -> None:
    large = "ab" * 10_000_000
    found = await direct.row(
        "select md5(%(t)s) = md5(%(t)s), %(t)s::text", {"t": large}
    )
    assert found == (True, large)


async def test_a_refused_statement_is_told_and_harms_no_later_one(
    direct: Direct,
) -> None:
    for _ in range(3):
        with pytest.raises(psycopg.errors.DivisionByZero):
            await direct.row("select 1 / %(n)s::int", {"n": 0})
        with pytest.raises(psycopg.errors.SyntaxError):
            await direct.row("select from from", {})
        with pytest.raises(psycopg.DataError):
            await direct.row("select %(t)s::text", {"t": "a\x00b"})
    assert await direct.row("select 1", {}) == (1,)


async def test_a_connection_that_the_server_ended_is_replaced_unseen(
    direct: Direct, app_url: str
) -> None:
    both = await asyncio.gather(*(_pid(direct) for _ in range(2)))
    await _end(app_url, *both)
    await ended(app_url, *both)

    assert not {*both} & {await _pid(direct), await _pid(direct)}


async def test_a_statement_whose_connection_ends_is_not_asked_again(
    direct: Direct, app_url: str
) -> None:
    pid = await _pid(direct)
    asked = asyncio.create_task(direct.row("select pg_sleep(60)", {}))
    await asyncio.sleep(0)  # it is sent
    await _end(app_url, pid)

    with pytest.raises(psycopg.OperationalError):
        await asked
    assert await _pid(direct) != pid


async def test_whoever_does_not_wait_leaves_nothing_to_the_next(direct: Direct) -> None:
    pid = await _pid(direct)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await direct.row("select 'late' from pg_sleep(5)", {})

    assert await direct.row("select 'next'", {}) == ("next",)
    assert await _pid(direct) != pid


async def test_what_is_not_durable_waits_for_no_disk(
    direct: Direct, db: Database, app_url: str
) -> None:
    lax = Direct(app_url, durable=False)
    asked = "select current_setting('synchronous_commit')"
    assert (await lax.row(asked, {}), await direct.row(asked, {})) == (
        ("off",),
        ("on",),
    )
    await lax.close()


async def _pid(direct: Direct) -> int:
    row = await direct.row(_WHO, {})
    assert row is not None
    return int(row[0])


async def _end(app_url: str, *pids: int) -> None:
    async with await psycopg.AsyncConnection.connect(app_url) as another:
        await another.execute("select pg_terminate_backend(unnest(%s))", [[*pids]])
