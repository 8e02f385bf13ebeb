"""What a worker process tells of itself, and of what it can reach.

Rows with an age: the API reads them, and asks nobody while somebody waits. Nothing is
asked of a provider either: that somebody listens is seen by connecting, and whether
calls succeed is seen by the jobs.
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from importlib.metadata import version
from random import uniform
from urllib.parse import urlsplit

from temporalio.client import Client

from activities.errors import redacted
from models.database import Database
from models.processes import WorkerProcess
from models.queries import processes
from models.queries.processes import Seen
from models.states import Health
from workers.loops import Loop
from workers.reach import greets, listens
from workers.settings import WorkerSettings

Look = Callable[[], Awaitable[None]]

_BEAT = 10.0
_STRIPE = "https://api.stripe.com"
_PATIENCE = timedelta(seconds=3)


class Heartbeat:
    """One process'. `looks`: by component; one that raises has seen it down."""

    def __init__(
        self, db: Database, queues: Sequence[str], looks: Mapping[str, Look]
    ) -> None:
        self._db, self._looks = db, looks
        self.process = WorkerProcess(
            host=socket.gethostname(),
            pid=os.getpid(),
            version=version("mpanel"),
            queues=list(queues),
        )

    @property
    def loop(self) -> Loop:
        """Drawn a little differently in each process, so that not all come at once."""
        return Loop("heartbeat", _BEAT * uniform(0.8, 1.0), self.beat)  # noqa: S311

    async def beat(self) -> None:
        """Looks at everything at once, and writes what was seen."""
        seen = await asyncio.gather(*(self._see(one) for one in self._looks))
        async with self._db.platform() as session:
            await processes.beat(session, self.process, seen)
            await session.commit()

    async def leave(self) -> None:
        """This process ends: its queues have a worker less, at once."""
        async with self._db.platform() as session:
            await processes.leave(session, self.process.id)
            await session.commit()

    async def _see(self, component: str) -> Seen:
        try:
            await self._looks[component]()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is down
            detail = redacted(f"{type(error).__name__}: {error}")
            return Seen(component, Health.DOWN, detail)
        return Seen(component, Health.OK)


def looks_of(settings: WorkerSettings, client: Client) -> dict[str, Look]:
    """How each component of this process' settings is looked at."""
    store = urlsplit(settings.backup_store_url)
    smtp = urlsplit(settings.smtp_url.get_secret_value())

    async def temporal() -> None:
        if not await client.service_client.check_health(timeout=_PATIENCE):
            raise ConnectionError("it says that it does not serve")

    return {
        "queue": temporal,
        "stripe": lambda: listens(settings.stripe_api_base or _STRIPE),
        "powerdns": lambda: listens(settings.powerdns_url),
        "backup_store": lambda: greets(store.hostname or "", store.port or 22, b"SSH-"),
        "mail": lambda: greets(smtp.hostname or "", smtp.port or 25, b"220"),
    }
