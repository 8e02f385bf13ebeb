"""The machines that carry what is sold: the platform's own, for its own people."""

from uuid import UUID

from api.auth.actor import Actor
from models.database import Session
from models.errors import Denied
from models.queries import servers
from models.queries.servers import Watched
from models.queries.slices import Slice, Window


async def find(platform: Session, actor: Actor, window: Window) -> Slice[Watched]:
    """By name. Raises `Denied` for another company's people."""
    _check(actor)
    return await servers.find(platform, window)


async def get(platform: Session, actor: Actor, server_id: UUID) -> Watched:
    """One of them. Raises `Denied`, `NotFound`."""
    _check(actor)
    return await servers.get(platform, server_id)


def _check(actor: Actor) -> None:
    if not actor.staff:
        raise Denied("the platform's machines are shown to its own administrators")
