"""The API behind a real port, as streams and command lines need it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from uuid import UUID

import httpx
import uvicorn
from fastapi import FastAPI

from api.parts import Parts
from api.server import Server
from api.settings import ApiSettings
from models.database import Database
from models.tenants import MIGRAHOSTING
from models.users import Role
from tests.api.conftest import add_user, token_of
from tests.api.web import lent

SOON = 60  # seconds; the machine may be busy


@dataclass
class Site:
    """A running web process in this one."""

    app: FastAPI
    url: str
    server: Server
    db: Database

    @property
    def parts(self) -> Parts:
        found: Parts = self.app.state.parts
        return found

    async def token(self, role: Role, tenant_id: UUID = MIGRAHOSTING) -> str:
        user = await add_user(self.db, role, tenant_id=tenant_id)
        return await token_of(self.db, user)


@contextlib.asynccontextmanager
async def live(settings: ApiSettings, db: Database) -> AsyncIterator[Site]:
    """Serves until the block ends."""
    with lent(settings) as app:
        config = uvicorn.Config(
            app, port=0, log_config=None, timeout_graceful_shutdown=5
        )
        server = _Quiet(app, config)
        serving = asyncio.create_task(server.serve())
        async with asyncio.timeout(SOON):
            while not server.started:  # noqa: ASYNC110 - uvicorn has no event
                await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Site(app, f"http://127.0.0.1:{port}", server, db)
        server.handle_exit(15, None)
        await serving


async def up(client: httpx.AsyncClient) -> None:
    """Returns when the process that this client calls has started."""
    async with asyncio.timeout(SOON):
        while True:
            with contextlib.suppress(httpx.TransportError):
                await client.get("/api/health")
                return
            await asyncio.sleep(0.05)


class _Quiet(Server):
    """Leaves the signals to the test run."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
