"""How everything is, from rows that the workers write."""

from typing import Any

import httpx
from sqlalchemy import text

from models.base import utc_now
from models.database import Database
from models.processes import WorkerProcess
from models.queries import processes
from models.queries.processes import Seen
from models.servers import PROXMOX, Server
from models.states import Health
from models.users import Role
from tests.api import rows
from tests.api.conftest import LogIn
from workflows.queues import ALL, STORIES

WATCHED = ("queue", "stripe", "powerdns", "backup_store", "mail")


async def seen(db: Database, queues: tuple[str, ...] = ALL, **other: Health) -> None:
    """A worker of these queues has looked."""
    process = WorkerProcess(host="here", pid=1, version="0", queues=list(queues))
    async with db.platform() as session:
        await processes.beat(
            session,
            process,
            [Seen(one, other.get(one, Health.OK)) for one in WATCHED],
        )
        await session.commit()


async def dependencies(client: httpx.AsyncClient) -> dict[str, str]:
    answer = await client.get("/api/status")
    assert answer.status_code == 200
    found: dict[str, str] = answer.json()["dependencies"]
    return found


async def test_everything_is_as_the_worker_saw_it(db: Database, log_in: LogIn) -> None:
    await seen(db, mail=Health.DOWN)

    assert await dependencies(await log_in(Role.VIEWER)) == {
        "database": "ok",
        "redis": "not_configured",
        "queue": "ok",
        "proxmox": "not_configured",
        "stripe": "ok",
        "powerdns": "ok",
        "hosting": "not_configured",
        "backupStore": "ok",
        "mail": "down",
    }


async def test_without_a_worker_everything_it_watches_is_down(log_in: LogIn) -> None:
    found = await dependencies(await log_in())
    assert {found[one] for one in ("queue", "stripe", "powerdns", "mail")} == {"down"}


async def test_what_was_seen_long_ago_is_down(db: Database, log_in: LogIn) -> None:
    await seen(db)
    async with db.platform() as session:
        await (await session.connection()).execute(
            text("update component_reports set checked_at = now() - interval '31 s'")
        )
        await session.commit()

    assert (await dependencies(await log_in()))["stripe"] == "down"


async def test_a_task_queue_without_a_worker_degrades_the_queue(
    db: Database, log_in: LogIn
) -> None:
    await seen(db, (STORIES,))
    admin = await log_in()
    assert (await dependencies(admin))["queue"] == "degraded"

    await seen(db, tuple(one for one in ALL if one != STORIES))
    assert (await dependencies(admin))["queue"] == "ok"


async def test_the_cluster_is_as_its_nodes_answer(db: Database, log_in: LogIn) -> None:
    admin = await log_in()
    for heard, health in ((None, "down"), (utc_now(), "degraded")):
        node = Server(
            name=f"pve-{health}", role=PROXMOX, capacity=10, last_heartbeat_at=heard
        )
        await rows.add(db, node)
        assert (await dependencies(admin))["proxmox"] == health


async def test_the_inbox_says_which_queues_nobody_serves_and_what_to_do(
    db: Database, log_in: LogIn
) -> None:
    operator = await log_in(Role.OPERATOR)

    async def told() -> Any:
        answer = await operator.get("/api/operator/inbox/groups")
        return answer.json()["standstill"]

    nobody = await told()
    assert (nobody["queues"], nobody["title"]) == (list(ALL), "No worker is up")
    assert "`mpanel worker`" in nobody["advice"]

    await seen(db, tuple(one for one in ALL if one != STORIES))
    left = await told()
    assert (left["queues"], left["title"]) == ([STORIES], "No worker serves stories")
    assert "`mpanel worker stories`" in left["advice"]

    await seen(db, (STORIES,))
    assert await told() is None


async def test_another_company_sees_the_same(db: Database, log_in: LogIn) -> None:
    await rows.add(db, rows.other_tenant())
    await seen(db)
    stranger = await log_in(Role.VIEWER, tenant_id=rows.OTHER)
    assert (await dependencies(stranger))["queue"] == "ok"


async def test_uptime_and_version_are_told_to_those_who_logged_in(
    api: httpx.AsyncClient, log_in: LogIn
) -> None:
    assert (await api.get("/api/status")).status_code == 401
    told = (await (await log_in()).get("/api/status")).json()
    assert told["service"] == "mpanel-api"
    assert told["version"]
    assert 0 <= told["uptimeSeconds"] < 60
