"""What the nodes of the cluster say of themselves, written to their rows.

An operator's `draining` is a column of its own, so no reading takes it back.
"""

from typing import Final, Protocol

from activities.providers.proxmox import Node
from models.database import Database
from models.queries import servers
from models.queries.servers import DEGRADED, OFFLINE, ONLINE, Figures

# Of its memory: beyond it, a node is the last that anything is placed on.
NEARLY_FULL: Final = 0.9


class Nodes(Protocol):
    """See `activities.providers.proxmox`."""

    async def nodes(self) -> list[Node]: ...


class Fleet:
    """Rows with the role `proxmox` say which nodes are ours."""

    def __init__(self, db: Database, cluster: Nodes) -> None:
        self._db, self._cluster = db, cluster

    async def round(self) -> None:
        """Reads all nodes at once. Raises a `ProviderError` if the cluster cannot be
        asked: then the rows grow stale, and say so."""
        async with self._db.looking() as session:
            ours = await servers.nodes(session)
        if not ours:
            return
        seen = {node.name: node for node in await self._cluster.nodes()}
        async with self._db.platform() as session:
            for row in ours:
                await servers.told(session, row.id, figures(seen.get(row.name)))
            await session.commit()


def figures(node: Node | None) -> Figures:
    """A node that the cluster does not list is offline."""
    if node is None or not node.online:
        return Figures(OFFLINE)
    full = node.memory and node.memory_used > NEARLY_FULL * node.memory
    return Figures(DEGRADED if full else ONLINE, node.cores, node.memory_used >> 20)
