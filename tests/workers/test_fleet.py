"""What machines say of themselves stands in their rows, beside operators' wishes."""

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncssh
import pytest

from activities.errors import (
    ProviderDown,
    ProviderError,
    ProviderRejected,
    ProviderThrottled,
)
from activities.providers.proxmox import Node
from activities.providers.ssh import Disk
from models.base import utc_now
from models.database import Database
from models.queries import servers
from models.queries.slices import Window
from models.servers import HOSTING, PROXMOX, Server
from workers.clients import CloudPanels
from workers.fleet import Fleet
from workers.gates import AccountGates

GIB = 2**30


class Hosts:
    """Disks of hosting servers, by name; what is no disk is raised."""

    def __init__(self, **disks: Disk | ProviderError) -> None:
        self.disks = disks

    def of(self, server: Server) -> "Host":
        return Host(self.disks[server.name])


class Host:
    def __init__(self, told: Disk | ProviderError) -> None:
        self._told = told

    async def disk(self) -> Disk:
        if isinstance(self._told, ProviderError):
            raise self._told
        return self._told


class Cluster:
    """Nodes as they say of themselves; raises what it is told to."""

    def __init__(self, *nodes: Node) -> None:
        self.listed = list(nodes)
        self.error: ProviderDown | None = None

    async def nodes(self) -> list[Node]:
        if self.error:
            raise self.error
        return self.listed


@pytest.fixture
async def rows(db: Database) -> None:
    async with db.platform() as session:
        for name in ("pve1", "pve2", "pve3"):
            session.add(Server(name=name, role=PROXMOX, memory=61440, cores=4))
        await session.commit()


async def shown(db: Database) -> dict[str, tuple[str, int, int]]:
    """(status, memory used in MiB, cores) by name."""
    async with db.platform() as session:
        found = await servers.find(session, Window())
    return {
        one.server.name: (one.status, one.server.memory_used, one.server.cores)
        for one in found.items
    }


async def test_each_node_shows_what_it_says_of_itself(db: Database, rows: None) -> None:
    cluster = Cluster(
        Node("pve1", online=True, cores=16, memory=64 * GIB, memory_used=2 * GIB),
        Node("pve2", online=True, cores=16, memory=64 * GIB, memory_used=60 * GIB),
        Node("pve3", online=False),
    )

    await Fleet(db, cluster, Hosts()).nodes()

    assert await shown(db) == {
        "pve1": ("online", 2048, 16),
        "pve2": ("degraded", 61440, 16),
        "pve3": ("offline", 0, 4),
    }
    cluster.listed = cluster.listed[:1]
    await Fleet(db, cluster, Hosts()).nodes()
    assert (await shown(db))["pve2"][0] == "offline"


async def test_what_an_operator_wants_outlives_every_reading(
    db: Database, rows: None
) -> None:
    async with db.platform() as session:
        (first, *_) = await servers.of_role(session, PROXMOX)
        first.draining = True
        await session.commit()
    online = Node("pve1", online=True, cores=16, memory=64 * GIB, memory_used=GIB)

    await Fleet(db, Cluster(online), Hosts()).nodes()

    assert (await shown(db))["pve1"][0] == "draining"
    async with db.platform() as session:
        row = (await servers.of_role(session, PROXMOX))[0]
    assert (row.status, row.draining) == ("online", True)


async def test_a_cluster_that_nobody_can_ask_makes_its_nodes_offline_in_time(
    db: Database, rows: None
) -> None:
    cluster = Cluster(Node("pve1", online=True, cores=16, memory=64 * GIB))
    fleet = Fleet(db, cluster, Hosts())
    await fleet.nodes()
    cluster.error = ProviderDown("proxmox", "no route to host")

    with pytest.raises(ProviderDown):
        await fleet.nodes()

    assert (await shown(db))["pve1"][0] == "online"
    async with db.platform() as session:
        row = (await servers.of_role(session, PROXMOX))[0]
        row.last_heartbeat_at = utc_now() - timedelta(minutes=3)
        await session.commit()
    assert (await shown(db))["pve1"][0] == "offline"


async def test_without_nodes_the_cluster_is_not_asked(db: Database) -> None:
    cluster = Cluster()
    cluster.error = ProviderDown("proxmox", "nobody set its address")

    await Fleet(db, cluster, Hosts()).nodes()


async def test_a_hosting_server_shows_its_disk_and_whether_one_can_log_in(
    db: Database,
) -> None:
    names = ("good", "nearly", "full", "dead", "busy", "locked")
    async with db.platform() as session:
        session.add_all(Server(name=name, role=HOSTING) for name in names)
        await session.commit()
    hosts = Hosts(
        good=Disk(free=60 * GIB, total=100 * GIB),
        nearly=Disk(free=5 * GIB, total=100 * GIB),
        full=Disk(free=0, total=0),
        dead=ProviderDown("hosting", "no route to host"),
        busy=ProviderThrottled("hosting", "told to wait", retry_after=5),
        locked=ProviderRejected("hosting", "permission denied", code="auth"),
    )

    await Fleet(db, Cluster(), hosts).hosts()

    async with db.platform() as session:
        seen = {
            one.name: (one.status, one.disk, one.disk_used, bool(one.last_heartbeat_at))
            for one in await servers.of_role(session, HOSTING)
        }
    assert seen == {
        "good": ("online", 102_400, 40_960, True),
        "nearly": ("degraded", 102_400, 97_280, True),
        "full": ("degraded", 0, 0, True),
        "dead": ("offline", 0, 0, False),
        "busy": ("degraded", 0, 0, True),
        "locked": ("offline", 0, 0, False),
    }
    hosts.disks["good"] = ProviderDown("hosting", "reset")
    await Fleet(db, Cluster(), hosts).hosts()
    async with db.platform() as session:
        (good,) = [
            one for one in await servers.of_role(session, HOSTING) if one.name == "good"
        ]
    assert (good.status, good.disk, good.disk_used) == ("offline", 102_400, 40_960)


async def test_a_host_key_that_nobody_can_read_blinds_no_other_server(
    db: Database, tmp_path: Path
) -> None:
    async with db.platform() as session:
        session.add_all(
            Server(name=name, role=HOSTING, host_key=key, ssh_host="h", ssh_port=22)
            for name, key in (("broken", "ssh-ed25519 AAAA"), ("good", ""))
        )
        await session.commit()
    ours = tmp_path / "key"
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(ours)
    settings: Any = SimpleNamespace(hosting_ssh_key_file=ours)
    panels = CloudPanels(settings, AccountGates(db))

    class Mixed(Hosts):
        def of(self, server: Server) -> Any:
            return panels.of(server) if server.host_key else super().of(server)

    await Fleet(db, Cluster(), Mixed(good=Disk(free=60, total=100))).hosts()

    assert {name: one[0] for name, one in (await shown(db)).items()} == {
        "broken": "offline",
        "good": "online",
    }
