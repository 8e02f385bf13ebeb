"""A worker for the queue of each Proxmox node, also of one that joins later."""

from collections.abc import Callable
from contextlib import AsyncExitStack

from sqlmodel import select
from temporalio.worker import Worker

from models.database import Database
from models.servers import PROXMOX, Server
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
            names = await session.exec(
                select(Server.name).where(Server.role == PROXMOX)
            )
            queues = {node_queue(name) for name in names.all()}
        for queue in sorted(queues - self._served):
            await self._running.enter_async_context(self._build(queue))
            self._served.add(queue)
