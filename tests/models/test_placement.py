"""Which node takes another CloudPod."""

from uuid import uuid4

import pytest

from models.cloudpods import CloudPod
from models.database import Database
from models.errors import NoCapacity
from models.queries import cloudpods
from models.queries.servers import DEGRADED, ONLINE
from models.servers import PROXMOX, Server
from models.tenants import MIGRAHOSTING


def a_node(name: str, gib: int, status: str, *, draining: bool = False) -> Server:
    return Server(
        name=name, role=PROXMOX, memory=gib * 1024, status=status, draining=draining
    )


async def chosen(db: Database, *nodes: Server) -> str:
    """For one of 2 GiB."""
    pod = CloudPod(
        tenant_id=MIGRAHOSTING,
        customer_id=uuid4(),
        subscription_id=uuid4(),
        product_id=uuid4(),
        name="shop",
        template="x",
        hostname="shop.example.net",
        image="debian-13",
        cores=1,
        memory=2048,
        disk=10,
    )
    async with db.platform() as session:
        session.add_all(nodes)
        await session.flush()
        return (await cloudpods.roomiest(session, pod)).name


async def test_the_one_with_most_room_takes_it(db: Database) -> None:
    small, large = a_node("pve1", 8, ONLINE), a_node("pve2", 64, ONLINE)

    assert await chosen(db, small, large) == "pve2"


async def test_a_degraded_node_is_the_last(db: Database) -> None:
    full, online = a_node("pve1", 64, DEGRADED), a_node("pve2", 8, ONLINE)

    assert await chosen(db, full, online) == "pve2"


async def test_a_degraded_node_is_better_than_none(db: Database) -> None:
    away, full = a_node("pve1", 64, "offline"), a_node("pve2", 8, DEGRADED)

    assert await chosen(db, away, full) == "pve2"


@pytest.mark.parametrize(
    "node",
    [
        a_node("pve1", 64, "offline"),
        a_node("pve1", 64, ONLINE, draining=True),
        a_node("pve1", 1, ONLINE),
    ],
    ids=["offline", "draining", "too small"],
)
async def test_one_that_takes_nothing_is_not_chosen(db: Database, node: Server) -> None:
    with pytest.raises(NoCapacity, match="2048 MiB"):
        await chosen(db, node)
