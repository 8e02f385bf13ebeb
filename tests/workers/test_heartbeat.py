"""A worker process says that it lives, what it serves and what it can reach."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text

from models.base import utc_now
from models.database import Database
from models.processes import ComponentReport, WorkerProcess
from models.queries import processes
from models.servers import Server
from models.states import Health
from tests.conftest import free_port
from workers.heartbeat import Heartbeat
from workers.reach import greets, listens


async def fine() -> None:
    """Nothing to complain of."""


async def refused() -> None:
    raise ConnectionError("https://who:secret@example.com refused password=hunter2")


async def test_a_process_is_known_with_its_queues_until_it_leaves(db: Database) -> None:
    here, there = Heartbeat(db, ["stories"], {}), Heartbeat(db, ["stripe"], {})
    await here.beat()
    await there.beat()
    await here.beat()

    async with db.platform() as session:
        assert await processes.served(session) == {"stories": 1, "stripe": 1}
        assert [one.id for one in await processes.living(session)] == [
            here.process.id,
            there.process.id,
        ]
    await there.leave()
    async with db.platform() as session:
        assert await processes.served(session) == {"stories": 1}


async def test_one_that_was_silent_is_gone_and_later_forgotten(db: Database) -> None:
    killed, alive = Heartbeat(db, ["stripe"], {"mail": fine}), Heartbeat(db, [], {})
    await killed.beat()
    await aged(db, "31 seconds")
    async with db.platform() as session:
        assert await processes.served(session) == {}
        assert "mail" not in await processes.components(session)
        assert await session.get(WorkerProcess, killed.process.id)

    await aged(db, "1 hour")
    await alive.beat()
    async with db.platform() as session:
        assert not await session.get(WorkerProcess, killed.process.id)


async def test_what_is_down_is_told_without_its_secrets(db: Database) -> None:
    await Heartbeat(db, [], {"mail": fine, "stripe": refused}).beat()

    async with db.platform() as session:
        seen = await processes.components(session)
        assert (seen["mail"], seen["stripe"]) == (Health.OK, Health.DOWN)
        found = await (await session.connection()).execute(
            text("select detail from component_reports where status = 'down'")
        )
        detail = found.scalar_one()
    assert "refused" in detail
    assert "hunter2" not in detail


async def test_what_only_some_processes_reach_is_degraded(db: Database) -> None:
    await Heartbeat(db, [], {"stripe": fine}).beat()
    await Heartbeat(db, [], {"stripe": refused}).beat()

    async with db.platform() as session:
        assert (await processes.components(session))["stripe"] == Health.DEGRADED


async def test_a_provider_that_told_us_to_wait_is_degraded(db: Database) -> None:
    await Heartbeat(db, [], {"mail": fine, "stripe": fine, "powerdns": fine}).beat()
    async with db.platform() as session:
        await (await session.connection()).execute(
            text(
                "insert into provider_accounts (id, created_at, account, blocked_until)"
                " values (gen_random_uuid(), now(), 'stripe:4242', now() + '1 min'),"
                " (gen_random_uuid(), now(), 'smtp', now() + '1 min'),"
                " (gen_random_uuid(), now(), 'powerdns', now() - interval '1 min')"
            )
        )
        await session.commit()
        seen = await processes.components(session)

    assert seen["stripe"] == seen["mail"] == Health.DEGRADED
    assert seen["powerdns"] == Health.OK


async def test_hosting_is_degraded_while_one_of_its_servers_is_not_heard(
    db: Database,
) -> None:
    lively, dumb = server("a", heard=True), server("b", heard=False)
    async with db.platform() as session:
        session.add_all([lively, dumb])
        await session.commit()
        assert (await processes.components(session))["hosting"] == Health.DEGRADED


async def test_without_servers_there_is_no_hosting_and_no_cluster(db: Database) -> None:
    async with db.platform() as session:
        seen = await processes.components(session)
    assert seen == dict.fromkeys(("hosting", "proxmox"), Health.NOT_CONFIGURED)


async def test_somebody_listens_or_greets() -> None:
    async with saying(b"220 mail\r\n") as port:
        await listens(f"http://127.0.0.1:{port}")
        await greets("127.0.0.1", port, b"220")
        with pytest.raises(ConnectionError):
            await greets("127.0.0.1", port, b"SSH-")
    with pytest.raises(OSError):
        await listens(f"http://127.0.0.1:{free_port()}")


async def test_a_report_belongs_to_the_platform(db: Database) -> None:
    await Heartbeat(db, [], {"mail": fine}).beat()
    async with db.nobody() as session:
        for table in (WorkerProcess, ComponentReport):
            found = await (await session.connection()).execute(
                text(f"select count(*) from {table.__tablename__}")
            )
            assert found.scalar_one() == 0


def server(name: str, *, heard: bool) -> Server:
    return Server(name=name, last_heartbeat_at=utc_now() if heard else None)


async def aged(db: Database, interval: str) -> None:
    async with db.platform() as session:
        await (await session.connection()).execute(
            text(
                "update worker_processes set seen_at = seen_at - cast(:by as interval)"
            ),
            {"by": interval},
        )
        await session.commit()


@contextlib.asynccontextmanager
async def saying(words: bytes) -> AsyncIterator[int]:
    """A server on this port that greets so, and hangs up."""

    async def greet(_: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        yield int(server.sockets[0].getsockname()[1])
