"""What the machines say of themselves, written to their rows.

An operator's `draining` is a column of its own, so no reading takes it back.
"""

import asyncio
from typing import Final, Protocol

from activities.errors import ProviderError, ProviderThrottled
from activities.providers.proxmox import Node
from activities.providers.ssh import Disk
from models.database import Database
from models.queries import servers
from models.queries.servers import DEGRADED, OFFLINE, ONLINE, Figures
from models.servers import HOSTING, PROXMOX, Server

# Of a node's memory, of a hosting server's disk: beyond it, one is the last that
# anything is placed on.
NEARLY_FULL: Final = 0.9
_AT_ONCE: Final = 20


class Nodes(Protocol):
    """See `activities.providers.proxmox`."""

    async def nodes(self) -> list[Node]: ...


class Host(Protocol):
    """See `activities.providers.cloudpanel`."""

    async def disk(self) -> Disk: ...


class Hosts(Protocol):
    """The client of each hosting server."""

    def of(self, server: Server) -> Host: ...


class Fleet:
    """Rows with the role `proxmox` say which nodes are ours, those with the role
    `hosting` which servers carry websites."""

    def __init__(self, db: Database, cluster: Nodes, hosts: Hosts) -> None:
        self._db, self._cluster, self._hosts = db, cluster, hosts

    async def nodes(self) -> None:
        """Reads all nodes at once. Raises a `ProviderError` if the cluster cannot be
        asked: then the rows grow stale, and say so."""
        async with self._db.looking() as session:
            ours = await servers.of_role(session, PROXMOX)
        if not ours:
            return
        seen = {node.name: node for node in await self._cluster.nodes()}
        async with self._db.platform() as session:
            for row in ours:
                await servers.told(session, row.id, of_node(seen.get(row.name)))
            await session.commit()

    async def hosts(self) -> None:
        """Logs in to each hosting server and reads its disk, as a site's step would."""
        async with self._db.looking() as session:
            ours = await servers.of_role(session, HOSTING)
        limit = asyncio.Semaphore(_AT_ONCE)

        async def one(server: Server) -> Figures:
            async with limit:
                try:
                    return of_host(await self._hosts.of(server).disk())
                except ProviderThrottled:
                    return Figures(DEGRADED)
                except ProviderError:
                    return Figures(OFFLINE)

        told = await asyncio.gather(*map(one, ours))
        async with self._db.platform() as session:
            for server, figures in zip(ours, told, strict=True):
                await servers.told(session, server.id, figures)
            await session.commit()


def of_node(node: Node | None) -> Figures:
    """A node that the cluster does not list is offline."""
    if node is None or not node.online:
        return Figures(OFFLINE)
    return Figures(
        _word(node.memory_used, node.memory),
        cores=node.cores,
        memory_used=node.memory_used >> 20,
    )


def of_host(disk: Disk) -> Figures:
    """A full disk has no size where SFTP cannot tell it."""
    used = disk.total - disk.free
    return Figures(
        _word(used, disk.total) if disk.free else DEGRADED,
        disk=disk.total >> 20,
        disk_used=used >> 20,
    )


def _word(used: int, of: int) -> str:
    return DEGRADED if of and used > NEARLY_FULL * of else ONLINE
