"""Everything that is asked of CloudPods and of the nodes that carry them."""

from collections.abc import Sequence
from uuid import UUID

from sqlmodel import col, func, select

from models.cloudpods import CloudPod, CloudPodSave, pod_host
from models.database import Session
from models.errors import NoCapacity
from models.products import Product
from models.queries.services import LIVING
from models.queries.slices import Slice, Window, by_id, page
from models.servers import PROXMOX, Server
from models.states import GuestKind, SaveKind, ServiceStatus
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
    product: Product,
    subscription: Subscription,
    *,
    pod_id: UUID,
    name: str,
    platform_domain: str,
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
    )


async def with_room(session: Session, pod: CloudPod) -> Server | None:
    """The CloudPod's own node, locked, if it can promise what is wanted now."""
    found = await session.exec(
        select(Server).where(Server.id == pod.server_id).with_for_update()
    )
    node = found.one()
    used = await session.exec(
        select(func.coalesce(func.sum(CloudPod.memory), 0)).where(
            CloudPod.server_id == node.id,
            CloudPod.id != pod.id,
            col(CloudPod.status).in_(LIVING),
        )
    )
    return node if int(used.one()) + pod.memory <= node.memory else None


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


async def roomiest(session: Session, pod: CloudPod) -> Server:
    """The online node with most memory to promise, locked so that two do not share it.

    Wants the platform's session. Raises `NoCapacity`.
    """
    promised = (
        select(func.coalesce(func.sum(CloudPod.memory), 0))
        .where(
            CloudPod.server_id == Server.id,
            CloudPod.id != pod.id,
            col(CloudPod.status).in_(LIVING),
        )
        .scalar_subquery()
    )
    found = await session.exec(
        select(Server, promised)
        .where(Server.role == PROXMOX, Server.status == "online")
        .order_by((col(Server.memory) - promised).desc(), col(Server.name))
        .with_for_update(of=Server)
    )
    for server, used in found.all():
        if used + pod.memory <= server.memory:
            return server
    raise NoCapacity(
        f"no online node has {pod.memory} MiB of memory left; add one, then retry"
    )
