"""Everything that is asked of CloudPods and of the nodes that carry them."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlmodel import col, func, or_, select, update

from models.cloudpods import CloudPod, CloudPodSave, pod_host
from models.database import Session
from models.errors import NoCapacity
from models.jobs import Job
from models.products import Offer, Product
from models.queries import servers
from models.queries.servers import DEGRADED, ONLINE
from models.queries.services import LIVING
from models.queries.slices import Slice, Window, by_id, page
from models.servers import PROXMOX, Server
from models.states import (
    UNDONE_JOBS,
    BackupStatus,
    GuestKind,
    SaveKind,
    ServiceStatus,
)
from models.subscriptions import Subscription


async def get(session: Session, cloudpod_id: UUID, *, lock: bool = False) -> CloudPod:
    """The CloudPod. Raises `NotFound`."""
    return await by_id(session, CloudPod, cloudpod_id, lock=lock)


async def find(
    session: Session,
    window: Window,
    *,
    customer_id: UUID | None = None,
    status: ServiceStatus | None = None,
) -> Slice[CloudPod]:
    """Newest first."""
    query = select(CloudPod).order_by(col(CloudPod.created_at).desc(), col(CloudPod.id))
    if customer_id is not None:
        query = query.where(CloudPod.customer_id == customer_id)
    if status is not None:
        query = query.where(CloudPod.status == status)
    return await page(session, query, window)


async def living_of(session: Session, subscription_id: UUID) -> CloudPod | None:
    """The CloudPod in use that the subscription has."""
    found = await session.exec(
        select(CloudPod).where(
            CloudPod.subscription_id == subscription_id,
            col(CloudPod.status).in_(LIVING),
        )
    )
    return found.first()


def drawn(
    product: Product | Offer,
    subscription: Subscription,
    *,
    pod_id: UUID,
    name: str,
    platform_domain: str,
    ssh_keys: Sequence[str] = (),
) -> CloudPod:
    """The CloudPod that a product promises, before anything of it exists."""
    promised, plan = product.attributes, product.delivers
    return CloudPod(
        id=pod_id,
        tenant_id=subscription.tenant_id,
        customer_id=subscription.customer_id,
        subscription_id=subscription.id,
        product_id=product.id,
        name=name,
        template=product.sku,
        hostname=pod_host(pod_id, name, platform_domain),
        kind=GuestKind(plan.get("guest", GuestKind.QEMU)),
        image=str(plan["image"]),
        cores=int(promised["cpu"]),
        memory=int(promised["ramMb"]),
        disk=int(promised["diskGb"]),
        ssh_keys=list(ssh_keys),
    )


async def with_room(session: Session, pod: CloudPod) -> Server | None:
    """The CloudPod's own node, if it can promise what is wanted now; what it promises
    to others waits until the transaction ends."""
    await servers.hold(session, PROXMOX)
    found = await session.exec(
        select(Server, _promised(pod)).where(Server.id == pod.server_id)
    )
    node, used = found.one()
    fits = used + pod.memory <= node.memory
    return node if fits and _takes(node) else None


async def saves(
    session: Session, cloudpod_id: UUID, kind: SaveKind
) -> Sequence[CloudPodSave]:
    """Its snapshots or backups, newest first."""
    found = await session.exec(
        select(CloudPodSave)
        .where(CloudPodSave.cloudpod_id == cloudpod_id, CloudPodSave.kind == kind)
        .order_by(col(CloudPodSave.created_at).desc(), col(CloudPodSave.id))
    )
    return found.all()


async def fail_unkept(session: Session, cloudpod_id: UUID) -> None:
    """Snapshots and backups whose job has ended without them came to nothing."""
    over = select(Job.id).where(
        Job.subject_id == cloudpod_id, col(Job.status).in_(UNDONE_JOBS)
    )
    await session.exec(
        update(CloudPodSave)
        .where(
            col(CloudPodSave.cloudpod_id) == cloudpod_id,
            col(CloudPodSave.status) == BackupStatus.RUNNING,
            col(CloudPodSave.job_id).in_(over),
        )
        .values(status=BackupStatus.FAILED)
    )


async def lose_snapshots(session: Session, cloudpod_id: UUID) -> None:
    """They lay beside the disks of a guest that is no more: each leaves its name."""
    await session.exec(
        update(CloudPodSave)
        .where(
            col(CloudPodSave.cloudpod_id) == cloudpod_id,
            col(CloudPodSave.kind) == SaveKind.SNAPSHOT,
            col(CloudPodSave.status) == BackupStatus.STORED,
        )
        .values(status=BackupStatus.FAILED)
    )


async def newest_backup(
    session: Session, cloudpod_id: UUID, volids: Collection[str]
) -> CloudPodSave | None:
    """Of those that a storage lists, the last one that is this CloudPod's own."""
    found = await session.exec(
        select(CloudPodSave)
        .where(
            CloudPodSave.cloudpod_id == cloudpod_id,
            CloudPodSave.status == BackupStatus.STORED,
            col(CloudPodSave.volid).in_(volids),
        )
        .order_by(col(CloudPodSave.stored_at).desc())
        .limit(1)
    )
    return found.first()


async def save_of(session: Session, job_id: UUID) -> CloudPodSave | None:
    """The snapshot or backup that a job makes, or has made."""
    found = await session.exec(
        select(CloudPodSave).where(CloudPodSave.job_id == job_id)
    )
    return found.one_or_none()


async def without_save(session: Session, job_id: UUID) -> None:
    """The backup that the job was to make will not be: its step was left out."""
    save = await save_of(session, job_id)
    if save is not None and save.status == BackupStatus.RUNNING:
        save.status = BackupStatus.FAILED


async def disown_save(session: Session, job_id: UUID) -> None:
    """The job makes another: this one is older than what was to be kept."""
    save = await save_of(session, job_id)
    if save is None:
        return
    if save.status == BackupStatus.RUNNING:
        save.status = BackupStatus.FAILED
    # Of no job: a save is its job's by this.
    save.job_id = save.id


async def on_node(session: Session, server_id: UUID) -> list[CloudPod]:
    """What is in use there, or on its way there; oldest first."""
    found = await session.exec(
        select(CloudPod)
        .where(
            or_(CloudPod.server_id == server_id, CloudPod.moving_to == server_id),
            col(CloudPod.status).in_(LIVING),
        )
        .order_by(col(CloudPod.created_at), col(CloudPod.id))
    )
    return list(found.all())


async def roomiest(session: Session, pod: CloudPod) -> Server:
    """The node with most memory to promise; one whose memory is nearly used up comes
    last. Never the one that it is on. Others wait until the transaction ends.

    Wants the platform's session. Raises `NoCapacity`.
    """
    await servers.hold(session, PROXMOX)
    promised = _promised(pod)
    found = await session.exec(
        select(Server, promised)
        .where(Server.role == PROXMOX)
        .order_by(
            col(Server.status) == DEGRADED,
            (col(Server.memory) - promised).desc(),
            col(Server.name),
        )
    )
    for server, used in found.all():
        if (
            _takes(server)
            and server.id != pod.server_id
            and used + pod.memory <= server.memory
        ):
            return server
    raise NoCapacity(
        f"no online node has {pod.memory} MiB of memory left; add one, then retry",
        of="memory",
    )


def _promised(pod: CloudPod) -> Any:
    """What a node has promised to other CloudPods: those on it, or on their way."""
    return (
        select(func.coalesce(func.sum(CloudPod.memory), 0))
        .where(
            or_(CloudPod.server_id == Server.id, CloudPod.moving_to == Server.id),
            CloudPod.id != pod.id,
            col(CloudPod.status).in_(LIVING),
        )
        .scalar_subquery()
    )


def _takes(node: Server) -> bool:
    """Whether anything more may be placed there."""
    return node.status in (ONLINE, DEGRADED) and not node.draining
