"""Everything that is asked of servers. Wants the platform's session.

Whether one is heard is told by the database's clock, as heartbeats are written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlmodel import col, func, select

from models.database import Session
from models.errors import NotFound
from models.queries.slices import Slice, Window, page
from models.servers import Server

# A worker listens to each server about once a minute.
SILENT_AFTER: Final = timedelta(minutes=2)
OFFLINE: Final = "offline"


@dataclass(frozen=True)
class Watched:
    """`status`: the row's own word, or `offline` if nobody heard it lately. A node of
    a cluster is not listened to."""

    server: Server
    status: str


async def get(session: Session, server_id: UUID) -> Watched:
    """The server. Raises `NotFound`."""
    found = await session.get(Server, server_id)
    if found is None:
        raise NotFound(f"there is no server {server_id}")
    return (await _watched(session, [found]))[0]


async def find(session: Session, window: Window) -> Slice[Watched]:
    """By name."""
    query = select(Server).order_by(col(Server.name), col(Server.id))
    found = await page(session, query, window)
    return Slice(await _watched(session, found.items), found.total)


async def _watched(session: Session, servers: Sequence[Server]) -> list[Watched]:
    heard = await session.exec(
        select(Server.id).where(
            col(Server.id).in_([server.id for server in servers]),
            col(Server.last_heartbeat_at) > func.now() - SILENT_AFTER,
        )
    )
    fresh = set(heard.all())
    return [
        Watched(
            server,
            OFFLINE if server.ssh_host and server.id not in fresh else server.status,
        )
        for server in servers
    ]


async def number(session: Session) -> int:
    """How many there are."""
    return (await session.exec(select(func.count()).select_from(Server))).one()
