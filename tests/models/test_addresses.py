"""Fifty who want an address and a VMID at the same moment get fifty different ones."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlmodel import col, select, update

from models.addresses import Address, Vmid
from models.base import utc_now
from models.database import Database, Session
from models.errors import NoCapacity
from models.queries import addresses
from models.states import AddressStatus
from tests.conftest import connected

MANY = 50
Lease = tuple[str, int]


@pytest.fixture
async def crowd(db: Database, app_url: str) -> AsyncIterator[Database]:
    """A connection for each; exactly as many addresses, in three pools, and VMIDs."""
    async with db.platform() as session:
        for name, network, count in (
            ("first", "198.51.100.0/28", None),  # 13 beside the gateway
            ("second", "203.0.113.0/27", None),  # 29
            ("third", "192.0.2.0/24", MANY - 13 - 29),
        ):
            gateway = network.replace(".0/", ".1/").partition("/")[0]
            await addresses.add_pool(
                session, name=name, network=network, gateway=gateway, count=count
            )
        await addresses.add_vmids(session, 10_000, 10_000 + MANY - 1)
        await session.commit()
    database = Database(app_url, pool_size=MANY + 1)
    await connected(database, MANY + 1)
    yield database
    await database.close()


async def lease(session: Session, owner: UUID) -> Lease:
    address, _ = await addresses.lease_address(session, owner, family=4)
    return address.ip, await addresses.lease_vmid(session, owner)


async def each(
    crowd: Database, wanted: int, before_commit: Callable[[], Awaitable[object]]
) -> list[Lease | NoCapacity]:
    """So many at once, each in a transaction that is open before any asks."""
    together = asyncio.Barrier(wanted)

    async def one() -> Lease | NoCapacity:
        async with crowd.platform() as session:
            await session.connection()
            await together.wait()
            try:
                got = await lease(session, uuid4())
            except NoCapacity as empty:
                await before_commit()
                return empty
            await before_commit()
            await session.commit()
            return got

    return await asyncio.gather(*(one() for _ in range(wanted)))


def different(got: list[Lease | NoCapacity]) -> bool:
    leases = [one for one in got if not isinstance(one, NoCapacity)]
    ips, vmids = zip(*leases, strict=True)
    return len(set(ips)) == len(set(vmids)) == len(leases) == MANY


async def at_once() -> None:
    """Commits race with those who still look."""


async def test_fifty_at_once_get_fifty_different_ones(crowd: Database) -> None:
    assert different(await each(crowd, MANY, at_once))


async def test_fifty_that_all_wait_to_commit_get_fifty_different_ones(
    crowd: Database,
) -> None:
    together = asyncio.Barrier(MANY)

    assert different(await each(crowd, MANY, together.wait))


async def test_of_fifty_one_who_want_fifty_one_is_told_that_none_is_free(
    crowd: Database,
) -> None:
    together = asyncio.Barrier(MANY + 1)

    got = await each(crowd, MANY + 1, together.wait)

    assert different(got)
    [empty] = [one for one in got if isinstance(one, NoCapacity)]
    assert "is free; add" in empty.message
    async with crowd.platform() as session:
        with pytest.raises(NoCapacity, match="IPv4 address"):
            await addresses.lease_address(session, uuid4(), family=4)
        with pytest.raises(NoCapacity, match="VMID"):
            await addresses.lease_vmid(session, uuid4())


async def test_who_asks_again_keeps_what_it_has(crowd: Database) -> None:
    owner = uuid4()
    got = []
    for _ in range(2):
        async with crowd.platform() as session:
            got.append(await lease(session, owner))
            await session.commit()

    assert got[0] == got[1]


async def test_what_comes_back_is_given_again_only_after_its_rest(
    crowd: Database,
) -> None:
    got = await each(crowd, MANY, at_once)
    async with crowd.platform() as session:
        owner = (await session.exec(select(Address.owner_id).limit(1))).one()
        assert owner is not None
        mine = await lease(session, owner)
        await addresses.give_back(session, owner)
        await session.commit()
        with pytest.raises(NoCapacity):
            await lease(session, uuid4())
    async with crowd.platform() as session:
        for table in (Address, Vmid):
            rested = utc_now() - timedelta(seconds=1)
            resting = col(table.status) == AddressStatus.RESTING
            await session.exec(update(table).where(resting).values(rests_until=rested))
        await session.commit()

        again = await lease(session, uuid4())

    assert again == mine
    assert mine in got
