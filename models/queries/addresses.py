"""Leasing what belongs to one guest at a time, and taking it back."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, insert, text
from sqlmodel import SQLModel, and_, col, or_, select
from sqlmodel.sql.expression import Select

from models.addresses import QUARANTINE, Address, AddressPool, Vmid
from models.base import utc_now
from models.database import Session
from models.errors import Conflict, Invalid, NoCapacity, NotFound
from models.states import AddressStatus

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Gateway = ipaddress.IPv4Address | ipaddress.IPv6Address

_COUNTED: Final = (
    "count(*) filter (where status = 'free' or rests_until <= now()),"
    " count(*) filter (where status = 'leased'),"
    " count(*) filter (where rests_until > now())"
)
_STOCK: Final = text(
    "select * from (select p.name, p.network, p.gateway, "  # noqa: S608 - ours alone
    f"{_COUNTED} from address_pools p join addresses a on a.pool_id = p.id"
    " group by p.id order by p.family, p.name) as pools"
    " union all select 'VMIDs', min(vmid) || ' to ' || max(vmid), '', "
    f"{_COUNTED} from vmids having count(*) > 0"
)


async def lease_address(
    session: Session, owner_id: UUID, *, family: int
) -> tuple[Address, AddressPool]:
    """The owner's address of this family: the one it has, or a free one.

    Those that rest longest over come first. Raises `NoCapacity`.
    """
    has = await session.exec(_held(owner_id).where(Address.family == family))
    if found := has.first():
        return found
    free = await session.exec(
        select(Address, AddressPool)
        .join(AddressPool, col(AddressPool.id) == col(Address.pool_id))
        .where(Address.family == family, _to_give(Address))
        .order_by(col(Address.rests_until).asc().nulls_first(), col(Address.id))
        .limit(1)
        .with_for_update(skip_locked=True, of=Address)
    )
    given = free.first()
    if given is None:
        raise NoCapacity(
            f"no IPv{family} address is free; add some to a pool, then retry",
            of="addresses",
        )
    _give(given[0], owner_id)
    return given


async def held(
    session: Session, owner_id: UUID
) -> Sequence[tuple[Address, AddressPool]]:
    """What the owner has, IPv4 first. Raises `NotFound` if it has nothing."""
    found = await session.exec(_held(owner_id).order_by(col(Address.family)))
    if leases := found.all():
        return leases
    raise NotFound(f"{owner_id} has no address")


async def lease_each(session: Session, owner_id: UUID) -> dict[int, str]:
    """By family, as `lease_address`: one of each that the platform has a pool of."""
    pools = await session.exec(select(AddressPool.family).distinct())
    # With no pool at all, it is an IPv4 one that is missed.
    return {
        family: (await lease_address(session, owner_id, family=family))[0].ip
        for family in sorted(pools.all()) or [4]
    }


async def owner_of_vmid(session: Session, vmid: int) -> UUID | None:
    """Whose number it is now."""
    found = await session.exec(select(Vmid.owner_id).where(Vmid.vmid == vmid))
    return found.first()


async def lease_vmid(session: Session, owner_id: UUID) -> int:
    """The owner's VMID: the one it has, or a free one. Raises `NoCapacity`."""
    held = await session.exec(select(Vmid).where(Vmid.owner_id == owner_id))
    lease = held.first()
    if lease is None:
        free = await session.exec(
            select(Vmid)
            .where(_to_give(Vmid))
            .order_by(col(Vmid.rests_until).asc().nulls_first(), col(Vmid.vmid))
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        lease = free.first()
        if lease is None:
            raise NoCapacity(
                "no VMID is free; add a range of them, then retry", of="vmids"
            )
        _give(lease, owner_id)
    return lease.vmid


async def give_back(session: Session, owner_id: UUID) -> None:
    """Everything the owner holds rests from now on. Safe to repeat."""
    for table in (Address, Vmid):
        held = await session.exec(
            select(table).where(table.owner_id == owner_id).with_for_update()
        )
        for lease in held.all():
            lease.status, lease.owner_id = AddressStatus.RESTING, None
            lease.rests_until = utc_now() + QUARANTINE


async def add_pool(
    session: Session, *, name: str, network: str, gateway: str, count: int | None = None
) -> AddressPool:
    """A pool with an address for each host of the network but the gateway, at most
    `count` (65,536) of them. Said again with a larger count, the pool grows. Raises
    `Invalid`, and `Conflict` if it overlaps another pool.

    An IPv6 gateway may be link-local, as fe80::1 often is.
    """
    try:
        net, door = ipaddress.ip_network(network), ipaddress.ip_address(gateway)
    except ValueError as error:
        raise Invalid("network", str(error)) from None
    if door not in net and not (
        door.version == net.version == 6 and door.is_link_local
    ):
        raise Invalid("gateway", f"{gateway} does not lie in {network}")
    pool = await _pool(session, name, net, door)
    had = await session.exec(select(Address.ip).where(Address.pool_id == pool.id))
    has = set(had.all())
    hosts = (str(host) for host in net.hosts() if host != door)
    most = min(count or 65_536, 65_536)
    first = [ip for ip, _ in zip(hosts, range(most), strict=False)]
    rows: list[dict[str, object]] = [
        {"pool_id": pool.id, "family": net.version, "ip": ip}
        for ip in first
        if ip not in has
    ]
    if not first:
        raise Invalid("network", f"{network} has no address beside its gateway")
    if rows:
        await _insert(session, Address, rows)
    return pool


async def _pool(
    session: Session, name: str, net: Network, door: Gateway
) -> AddressPool:
    """The one of this name, or a new one that overlaps no other."""
    for one in (await session.exec(select(AddressPool))).all():
        if one.name == name:
            if (one.network, one.gateway) != (str(net), str(door)):
                raise Conflict(f"there is a pool {name} already, of {one.network}")
            return one
        if net.overlaps(ipaddress.ip_network(one.network)):
            raise Conflict(f"{net} overlaps the pool {one.name}, of {one.network}")
    pool = AddressPool(
        name=name, family=net.version, network=str(net), gateway=str(door)
    )
    session.add(pool)
    await session.flush()
    return pool


@dataclass(frozen=True)
class Stock:
    """How many of a pool may be given now, are somebody's, or rest yet."""

    name: str
    network: str
    gateway: str
    free: int
    leased: int
    resting: int


async def stock(session: Session) -> list[Stock]:
    """Of every pool, IPv4 first; then of the VMIDs, whose network is their range."""
    found = await (await session.connection()).execute(_STOCK)
    return [Stock(*row) for row in found]


async def add_vmids(session: Session, first: int, last: int) -> None:
    """A range of numbers that are ours alone in the cluster. Raises `Invalid`, and
    `Conflict` if some of them are ours already."""
    if last < first:
        raise Invalid("last", f"want the smaller one first, not {first} and {last}")
    vmid = col(Vmid.vmid)
    ours = select(Vmid.vmid).where(vmid.between(first, last)).order_by(vmid)
    taken = (await session.exec(ours)).first()
    if taken is not None:
        raise Conflict(f"{taken} is ours already; nothing was changed")
    await _insert(session, Vmid, [{"vmid": one} for one in range(first, last + 1)])


def _held(owner_id: UUID) -> Select[Address, AddressPool]:
    return (
        select(Address, AddressPool)
        .join(AddressPool, col(AddressPool.id) == col(Address.pool_id))
        .where(Address.owner_id == owner_id)
    )


async def _insert(
    session: Session, table: type[SQLModel], rows: list[dict[str, object]]
) -> None:
    now = utc_now()
    given = {"created_at": now, "status": AddressStatus.FREE}
    connection = await session.connection()
    await connection.execute(
        insert(table), [{"id": uuid4(), **given, **row} for row in rows]
    )


def _to_give(table: type[Address] | type[Vmid]) -> ColumnElement[bool]:
    rested = col(table.rests_until) <= utc_now()
    return or_(
        col(table.status) == AddressStatus.FREE,
        and_(col(table.status) == AddressStatus.RESTING, rested),
    )


def _give(lease: Address | Vmid, owner_id: UUID) -> None:
    lease.status, lease.owner_id = AddressStatus.LEASED, owner_id
    lease.rests_until = None
