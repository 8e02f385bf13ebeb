"""A worker for the queue of each Proxmox node, also of one that joins later."""

from collections.abc import Callable
from contextlib import AsyncExitStack

from temporalio.worker import Worker

from models.database import Database
from models.queries import servers
from models.servers import PROXMOX
from workflows.queues import node_queue


class NodeWorkers:
    """`build(queue)` makes a worker; `running` ends them all."""

    def __init__(
        self,
        db: Database,
        build: Callable[[str], Worker],
        running: AsyncExitStack,
    ) -> None:
        self._db, self._build, self._running = db, build, running
        self._served: set[str] = set()

    async def round(self) -> None:
        """Begins to serve what is not served yet."""
        async with self._db.looking() as session:
            nodes = await servers.of_role(session, PROXMOX)
        queues = {node_queue(node.name) for node in nodes}
        for queue in sorted(queues - self._served):
            await self._running.enter_async_context(self._build(queue))
            self._served.add(queue)
