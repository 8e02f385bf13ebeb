"""/api/servers."""

from uuid import UUID

from fastapi import APIRouter

from api.deps import Admin, Platform, PlatformRows, Rows, Temporal
from api.idempotency import Repeatable
from api.schemas import (
    ABOUT_ONE,
    ACTS,
    SIGNED_IN,
    CamelModel,
    Id,
    Page,
    Paged,
    Timestamp,
)
from api.services import servers as service
from models.queries.servers import Watched
from models.servers import HOSTING, PROXMOX

router = APIRouter(prefix="/servers", tags=["servers"], route_class=Repeatable)


class ServerOut(CamelModel):
    """`status` is `draining` if nothing new is placed there, `offline` if nobody heard
    it for two minutes, else `online` or `degraded` (its memory or its disk is nearly
    used up).

    `ip` is where its sites answer. `memoryMb` (MiB) and `cores` are what a node of the
    cluster may promise to CloudPods; `cloudPods` are on it, or on their way there. A
    hosting server may carry `capacity` websites, on a disk of `diskMb` (MiB).
    """

    id: UUID
    name: str
    role: str
    ip: str
    status: str
    capacity: int
    memory_mb: int
    memory_used_mb: int
    cores: int
    cloud_pods: int
    websites: int
    disk_mb: int
    disk_used_mb: int
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
            memory_mb=server.memory,
            memory_used_mb=server.memory_used,
            cores=server.cores,
            cloud_pods=watched.carries if server.role == PROXMOX else 0,
            websites=watched.carries if server.role == HOSTING else 0,
            disk_mb=server.disk,
            disk_used_mb=server.disk_used,
            last_heartbeat_at=server.last_heartbeat_at,
        )


class DrainOut(CamelModel):
    """The job ends when the node is empty; null for a hosting server, whose websites
    stay where they are."""

    server: ServerOut
    job_id: UUID | None


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


@router.post("/{id}/drain", responses=ACTS)
async def drain_server(
    server_id: Id, actor: Platform, rows: Rows, temporal: Temporal
) -> DrainOut:
    """Place nothing on this machine any more; the CloudPods of a node move to others,
    the websites of a hosting server stay."""
    watched, job = await service.drain(rows, temporal, actor, server_id)
    return DrainOut(server=ServerOut.of(watched), job_id=job and job.id)


@router.post("/{id}/undrain", responses=ACTS)
async def undrain_server(server_id: Id, actor: Platform, rows: Rows) -> ServerOut:
    """Let this machine take what is new again; a drain that is under way is aborted."""
    return ServerOut.of(await service.undrain(rows, actor, server_id))
