"""/api/servers."""

from uuid import UUID

from fastapi import APIRouter

from api.deps import Admin, PlatformRows
from api.schemas import ABOUT_ONE, SIGNED_IN, CamelModel, Id, Page, Paged, Timestamp
from api.services import servers as service
from models.queries.servers import Watched

router = APIRouter(prefix="/servers", tags=["servers"])


class ServerOut(CamelModel):
    """`status` is `offline` if nobody heard it for two minutes; `ip` is where its
    sites answer."""

    id: UUID
    name: str
    role: str
    ip: str
    status: str
    capacity: int
    last_heartbeat_at: Timestamp | None

    @classmethod
    def of(cls, watched: Watched) -> "ServerOut":
        """In the words of the contract."""
        server = watched.server
        return cls(
            id=server.id,
            name=server.name,
            role=server.role,
            ip=server.public_ip,
            status=watched.status,
            capacity=server.capacity,
            last_heartbeat_at=server.last_heartbeat_at,
        )


@router.get("", responses=SIGNED_IN)
async def list_servers(
    paging: Paged, actor: Admin, rows: PlatformRows
) -> Page[ServerOut]:
    """The platform's machines, by name; for its own administrators."""
    found = await service.find(rows, actor, paging.window)
    return Page[ServerOut](
        items=[ServerOut.of(each) for each in found.items], total=found.total
    )


@router.get("/{id}", responses=ABOUT_ONE)
async def get_server(server_id: Id, actor: Admin, rows: PlatformRows) -> ServerOut:
    """One machine; for the platform's own administrators."""
    return ServerOut.of(await service.get(rows, actor, server_id))
