"""Many placings at once promise no more than there is."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from sqlmodel import col, select, text

from activities.calls import StepCall
from activities.cloudpods import CloudPodActivities
from activities.effects import EffectLedger
from activities.errors import GiveUp
from activities.store import Store
from activities.websites import WebsiteActivities
from models.cloudpods import CloudPod
from models.database import Database
from models.errors import NoCapacity
from models.jobs import Job
from models.queries import servers
from models.queries.addresses import add_pool, add_vmids
from models.servers import HOSTING, PROXMOX, Server
from models.states import JobKind, ServiceStatus
from models.tenants import MIGRAHOSTING
from models.vault import Vault
from models.websites import Website
from tests.api import rows
from tests.conftest import connected

MACHINES, EACH, WANTED = 3, 4, 24
ROOM = {f"one{n}": EACH for n in range(MACHINES)}
PENDING = ServiceStatus.PENDING

WAITING = text("select count(*) from pg_locks where not granted")

Place = Callable[[StepCall], Awaitable[Any]]


@pytest.fixture
async def crowd(app_url: str, db: Database) -> AsyncIterator[Database]:
    """The same database, with a connection for each that comes."""
    many = Database(app_url, pool_size=WANTED, max_overflow=0)
    await connected(many, WANTED)
    yield many
    await many.close()


async def at_once(place: Place, *jobs: Job) -> Counter[str]:
    """How many were placed, and how many had no room."""

    async def one(job: Job) -> str:
        call = StepCall(job.id, MIGRAHOSTING, job.subject_id, 1, "place", 60.0)
        try:
            await place(call)
        except (GiveUp, NoCapacity):
            return "no room"
        return "placed"

    return Counter(await asyncio.gather(*map(one, jobs)))


async def where(
    db: Database, table: type[CloudPod] | type[Website]
) -> Counter[str | None]:
    """How many are on each machine."""
    async with db.platform() as session:
        found = await session.exec(
            select(Server.name).join(table, col(table.server_id) == Server.id)
        )
        return Counter(found.all())


Pods = tuple[CloudPodActivities, list[Job]]


@pytest.fixture
async def pods(db: Database, crowd: Database, vault: Vault) -> Pods:
    """Many that are to be placed, on nodes with room for half of them."""
    buyer, bought = rows.customer(), rows.cloudpod_product()
    owned = rows.subscription(buyer, bought, PENDING)
    wanted = [rows.cloudpod(owned, bought, PENDING) for _ in range(WANTED)]
    kind = JobKind.CLOUDPOD_PROVISION
    jobs = [rows.job(subject_id=pod.id, kind=kind) for pod in wanted]
    memory = EACH * wanted[0].memory
    nodes = [Server(name=name, role=PROXMOX, memory=memory) for name in ROOM]
    await rows.add(db, *nodes, buyer, bought, owned, *wanted, *jobs)
    async with db.platform() as session:
        await add_pool(
            session, name="pods", network="192.0.2.0/24", gateway="192.0.2.1"
        )
        await add_vmids(session, 100, 200)
        await session.commit()
    cluster: Any = None
    return CloudPodActivities(Store(crowd), EffectLedger(crowd, vault), cluster), jobs


async def test_no_node_promises_more_memory_than_it_has(
    db: Database, pods: Pods
) -> None:
    do, jobs = pods

    ends = await at_once(do.place_cloudpod, *jobs)

    assert await where(db, CloudPod) == ROOM
    room = MACHINES * EACH
    assert ends == {"placed": room, "no room": WANTED - room}
    async with db.platform() as session:
        placed = (await session.exec(select(CloudPod).where(CloudPod.vmid > 0))).all()
    for had in ({pod.vmid for pod in placed}, {pod.ipv4 for pod in placed}):
        assert len(had) == room


async def test_one_that_failed_is_placed_anew_where_there_is_room_by_now(
    db: Database, pods: Pods
) -> None:
    do, jobs = pods
    first, *others = jobs
    await at_once(do.place_cloudpod, first)
    async with db.platform() as session:
        pod = await session.get_one(CloudPod, first.subject_id)
        had = pod.server_id
        pod.status = ServiceStatus.FAILED
        pod.let_go()
        everywhere = (await session.exec(select(Server))).all()
        for other, node in zip(
            others[: EACH * MACHINES], everywhere * EACH, strict=True
        ):
            taking = await session.get_one(CloudPod, other.subject_id)
            taking.server_id, taking.status = node.id, ServiceStatus.ACTIVE
        await session.commit()

    assert await at_once(do.place_cloudpod, first) == {"no room": 1}

    async with db.platform() as session:
        for other in others[: EACH * MACHINES]:
            left = await session.get_one(CloudPod, other.subject_id)
            if left.server_id != had:
                left.status = ServiceStatus.TERMINATED
        await session.commit()
    assert await at_once(do.place_cloudpod, first) == {"placed": 1}
    async with db.platform() as session:
        again = await session.get_one(CloudPod, first.subject_id)
    assert again.server_id != had


async def test_who_waits_for_a_place_holds_no_connection(
    db: Database, crowd: Database, pods: Pods
) -> None:
    do, jobs = pods
    async with db.platform() as elsewhere, asyncio.timeout(60):
        await servers.hold(elsewhere, PROXMOX)
        placing = asyncio.create_task(at_once(do.place_cloudpod, *jobs[:5]))
        async with db.platform() as session:
            while not (await session.exec(WAITING)).one()[0]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        # The others may just be reading; who held one to wait would hold it on.
        while crowd.engine.pool.checkedout() != 1:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        await elsewhere.commit()

        assert await placing == {"placed": 5}


async def test_no_hosting_server_takes_more_websites_than_fit(
    db: Database, crowd: Database, vault: Vault
) -> None:
    buyer, bought = rows.customer(), rows.product()
    owned = [rows.subscription(buyer, bought, PENDING) for _ in range(WANTED)]
    sites = [rows.website(one, PENDING) for one in owned]
    jobs = [rows.job(subject_id=site.id) for site in sites]
    machines = [Server(name=name, role=HOSTING, capacity=EACH) for name in ROOM]
    await rows.add(db, *machines, buyer, bought, *owned, *sites, *jobs)
    nobody: Any = None
    do = WebsiteActivities(Store(crowd), EffectLedger(crowd, vault), nobody, nobody)

    ends = await at_once(do.place_website, *jobs)

    assert await where(db, Website) == ROOM
    room = MACHINES * EACH
    assert ends == {"placed": room, "no room": WANTED - room}


async def test_a_website_goes_where_it_can_be_made_now_and_never_on_a_draining_server(
    db: Database, crowd: Database, vault: Vault
) -> None:
    buyer, bought = rows.customer(), rows.product()
    owned = [rows.subscription(buyer, bought, PENDING) for _ in range(4)]
    sites = [rows.website(one, PENDING) for one in owned]
    jobs = [rows.job(subject_id=site.id) for site in sites]
    machines = [
        Server(name="silent", role=HOSTING, capacity=99, status="offline"),
        Server(name="full", role=HOSTING, capacity=2, status="degraded"),
        Server(name="good", role=HOSTING, capacity=1),
        Server(name="leaving", role=HOSTING, capacity=99, draining=True),
    ]
    await rows.add(db, *machines, buyer, bought, *owned, *sites, *jobs)
    nobody: Any = None
    do = WebsiteActivities(Store(crowd), EffectLedger(crowd, vault), nobody, nobody)

    for job in jobs:
        assert await at_once(do.place_website, job) == {"placed": 1}

    assert await where(db, Website) == {"good": 1, "full": 2, "silent": 1}


async def test_of_two_websites_that_were_paid_for_at_once_one_has_the_name(
    db: Database, crowd: Database, vault: Vault
) -> None:
    buyers, bought = [rows.customer(), rows.customer()], rows.product()
    owned = [rows.subscription(one, bought, PENDING) for one in buyers]
    sites = [rows.website(one, PENDING, domain="wanted.example") for one in owned]
    jobs = [rows.job(subject_id=site.id) for site in sites]
    machines = [Server(name=name, role=HOSTING, capacity=EACH) for name in ROOM]
    await rows.add(db, *machines, *buyers, bought, *owned, *sites, *jobs)
    nobody: Any = None
    do = WebsiteActivities(Store(crowd), EffectLedger(crowd, vault), nobody, nobody)

    assert await at_once(do.place_website, *jobs) == {"placed": 1, "no room": 1}
    assert await at_once(do.place_website, *jobs) == {"placed": 1, "no room": 1}


@pytest.mark.parametrize(
    ("whose", "ends"), [("another's", "no room"), ("their own", "placed")]
)
async def test_a_name_below_a_website_is_its_customers_alone(
    db: Database, crowd: Database, vault: Vault, whose: str, ends: str
) -> None:
    tenant = rows.other_tenant()
    owner, bought = rows.customer(), rows.product()
    buyer = owner if whose == "their own" else rows.customer(tenant.id)
    wanted = rows.product(buyer.tenant_id)
    owned, asked = rows.subscription(owner, bought), rows.subscription(buyer, wanted)
    above = rows.website(owned, domain="acme.example")
    below = rows.website(asked, PENDING, domain="shop.acme.example")
    job = rows.job(buyer.tenant_id, subject_id=below.id)
    server = Server(name="one", role=HOSTING, capacity=EACH)
    people = {one.id: one for one in (owner, buyer)}.values()
    await rows.add(db, server, tenant, *people, bought, wanted)
    await rows.add(db, owned, asked, above, below, job)
    nobody: Any = None
    do = WebsiteActivities(Store(crowd), EffectLedger(crowd, vault), nobody, nobody)

    assert await at_once(do.place_website, job) == {ends: 1}
