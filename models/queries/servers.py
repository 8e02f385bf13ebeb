"""Everything that is asked of servers. Wants the platform's session."""

from uuid import UUID

from sqlmodel import col, func, select

from models.database import Session
from models.errors import NotFound
from models.queries.slices import Slice, Window, page
from models.servers import Server


async def get(session: Session, server_id: UUID) -> Server:
    """The server. Raises `NotFound`."""
    found = await session.get(Server, server_id)
    if found is None:
        raise NotFound(f"there is no server {server_id}")
    return found


async def find(session: Session, window: Window) -> Slice[Server]:
    """By name."""
    query = select(Server).order_by(col(Server.name), col(Server.id))
    return await page(session, query, window)


async def number(session: Session) -> int:
    """How many there are."""
    return (await session.exec(select(func.count()).select_from(Server))).one()
