"""Everything that is asked of servers. Wants the platform's session.

Whether one is heard is told by the database's clock, as heartbeats are written.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlmodel import col, func, or_, select, update

from models.audit import Action
from models.cloudpods import CloudPod
from models.database import Session
from models.effects import Effect
from models.errors import NotFound, WrongState
from models.jobs import Job
from models.queries import audit, drift
from models.queries.slices import Slice, Window, page
from models.servers import PROXMOX, Server
from models.states import OPEN_JOBS
from models.tenants import MIGRAHOSTING
from models.websites import Website

# A worker reads each server twice a minute.
SILENT_AFTER: Final = timedelta(minutes=2)
ONLINE: Final = "online"
DEGRADED: Final = "degraded"
OFFLINE: Final = "offline"
DRAINING: Final = "draining"

_TOLD: Final = text(
    "update servers set status = cast(:status as text), memory_used = :memory_used,"
    " disk_used = case when :disk > 0 then :disk_used else disk_used end,"
    " cores = case when :cores > 0 then :cores else cores end,"
    " disk = case when :disk > 0 then :disk else disk end,"
    " last_heartbeat_at = case cast(:status as text)"
    " when 'offline' then last_heartbeat_at else now() end where id = :id"
)
_CARRYING: Final = text(
    "select server, count(*) as many from ("
    "select server_id as server from cloudpods where server_id is not null"
    " and status not in ('terminated', 'failed')"
    " union all select moving_to from cloudpods where moving_to <> server_id"
    " union all select server_id from websites where server_id is not null"
    " and status not in ('terminated', 'failed')"
    ") as carried group by server"
)


@dataclass(frozen=True)
class Figures:
    """Memory of a node, disk of a hosting server, in MiB. Without them, cores and disk
    stay as they were last read."""

    status: str
    cores: int = 0
    memory_used: int = 0
    disk: int = 0
    disk_used: int = 0


@dataclass(frozen=True)
class Watched:
    """`status`: `draining` if an operator wants it so, `offline` if nobody heard it
    lately, else the row's own word. It `carries` so many CloudPods or websites."""

    server: Server
    status: str
    carries: int = 0


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
    fresh, carried = set(heard.all()), await carrying(session)
    return [
        Watched(
            server,
            _word(server, heard=server.id in fresh),
            carried.get(server.id, 0),
        )
        for server in servers
    ]


def _word(server: Server, *, heard: bool) -> str:
    if server.draining:
        return DRAINING
    # A node that no worker has asked for yet is what its row says.
    listened_to = server.ssh_host or server.last_heartbeat_at
    return OFFLINE if listened_to and not heard else server.status


async def of_role(session: Session, role: str) -> Sequence[Server]:
    """The nodes of the cluster, or the hosting servers, by name."""
    found = await session.exec(
        select(Server).where(Server.role == role).order_by(col(Server.name))
    )
    return found.all()


async def node_named(session: Session, name: str) -> Server | None:
    """A node of the cluster, if it is one of ours."""
    found = await session.exec(
        select(Server).where(Server.role == PROXMOX, Server.name == name)
    )
    return found.one_or_none()


async def carrying(session: Session) -> dict[UUID, int]:
    """How many CloudPods each node carries or has promised to take, and how many
    websites each hosting server."""
    found = await (await session.connection()).execute(_CARRYING)
    return {row.server: row.many for row in found}


async def remove(session: Session, name: str) -> None:
    """Forgets a machine that is drained, carries nothing and is nobody's work. What had
    been on it, and is no more, is of no machine then.

    Raises `NotFound`, `WrongState`.
    """
    server = await _held(session, name)
    if not server.draining:
        raise WrongState(f"something may be placed on {name}: drain it first")
    if many := (await carrying(session)).get(server.id, 0):
        what = "CloudPods" if server.role == PROXMOX else "websites"
        raise WrongState(f"{name} carries {many} {what}: move or remove them first")
    if server.role == PROXMOX and (astray := await drift.astray(session)):
        raise WrongState(
            f"the guest of {astray[0].name} is on another node than its row says, so"
            f" perhaps on {name}: repair it first"
        )
    if at := (await session.exec(_unsure_at(server))).first():
        raise WrongState(
            f"what was made or removed there is looked for again at {at:%H:%M:%S} UTC:"
            " remove it after that"
        )
    if job := (await session.exec(_work_at(server))).first():
        raise WrongState(
            f"the job {job.id} ({job.kind}, {job.status}) is at work there"
        )
    for table in (CloudPod, Website):
        await session.exec(
            update(table)
            .where(col(table.server_id) == server.id)
            .values(server_id=None)
        )
    await session.delete(server)
    await record(session, server, Action.SERVER_REMOVED)


async def record(session: Session, server: Server, action: Action) -> None:
    """The audit log's line of what whoever is at the machine does with a server."""
    await audit.record(
        session,
        tenant_id=MIGRAHOSTING,
        by=audit.SYSTEM,
        action=action,
        entity="server",
        entity_id=server.id,
        details={"name": server.name, "role": server.role},
    )


async def _held(session: Session, name: str) -> Server:
    role = (await session.exec(select(Server.role).where(Server.name == name))).first()
    if role is None:
        raise NotFound(f"there is no machine {name}")
    await hold(session, role)
    found = await session.exec(
        select(Server)
        .where(Server.name == name)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if (server := found.one_or_none()) is None:
        raise NotFound(f"there is no machine {name}")
    return server


def _unsure_at(server: Server) -> Any:
    """When effects on the machine are asked about again, the last one first."""
    facts = col(Effect.facts)
    return (
        select(Effect.check_at)
        .where(
            col(Effect.check_at).is_not(None),
            or_(
                facts["server_id"].astext == str(server.id),
                facts["node"].astext == server.name,
            ),
        )
        .order_by(col(Effect.check_at).desc())
        .limit(1)
    )


def _work_at(server: Server) -> Any:
    """Open jobs about the machine, or about what was placed there."""
    placed = [
        select(table.id).where(table.server_id == server.id)
        for table in (CloudPod, Website)
    ]
    return (
        select(Job)
        .where(
            col(Job.status).in_(OPEN_JOBS),
            or_(
                Job.subject_id == server.id,
                *(col(Job.subject_id).in_(one) for one in placed),
            ),
        )
        .order_by(col(Job.created_at))
        .limit(1)
    )


async def hold(session: Session, role: str) -> None:
    """Nobody else places anything on servers of this role until the transaction ends.

    A statement that waits for a row still counts what it saw before it waited: so what
    is free is asked after this, not with it. By name, so that no two wait for each
    other.
    """
    locked = select(Server.id).where(Server.role == role).order_by(col(Server.name))
    await session.exec(locked.with_for_update(key_share=True))


async def told(session: Session, server_id: UUID, figures: Figures) -> None:
    """What is said of a server just now."""
    await (await session.connection()).execute(
        _TOLD, {"id": server_id, **asdict(figures)}
    )


async def number(session: Session) -> int:
    """How many there are."""
    return (await session.exec(select(func.count()).select_from(Server))).one()
