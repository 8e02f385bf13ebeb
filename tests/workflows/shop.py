"""Orders as customers place them, and what of them lives at the providers."""

from collections import Counter
from typing import Any
from uuid import uuid4

from sqlmodel import select

from activities.gate import OpenGate
from activities.providers.cloudpanel import CloudPanel
from models.jobs import Job
from models.orders import Order
from models.servers import Server
from models.states import JobKind, JobStatus, OrderStatus
from tests.judge import OF_ONE_ORDER
from tests.world import World

LINES = [499, 4999]  # daily_backups_30d, wp_growth
PRICE = sum(LINES)


async def buy(
    world: World, *items: tuple[str, str], price: int = PRICE, **more: Any
) -> Order:
    """A paid order of a new customer."""
    email = f"{uuid4().hex[:8]}@example.com"
    paid = await world.pay(price, email=email)
    return await world.order(
        *items, customer=paid["customer"]["id"], email=email, **more
    )


async def unpaid(world: World, **more: Any) -> Order:
    """An order that waits for its payment; `world.pay` with its customer pays it."""
    email = f"{uuid4().hex[:8]}@example.com"
    customer = (await world.pay(1, status="processing", email=email))["customer"]["id"]
    return await world.order(customer=customer, email=email, **more)


async def jobs_of(world: World, order: Order) -> list[Job]:
    """The order's own job and those of its lines."""
    async with world.db.platform() as session:
        found = await session.exec(select(Job).where(Job.order_id == order.id))
        return list(found)


async def line_of(world: World, order: Order) -> Job:
    """The job that delivers the website."""
    return (await world.jobs(order))[JobKind.WEBSITE_PROVISION]


async def waiting(world: World, order: Order) -> Job:
    """The one job of the order that needs attention."""

    async def found() -> list[Job]:
        return [
            job
            for job in await jobs_of(world, order)
            if job.status == JobStatus.NEEDS_ATTENTION
        ]

    (job,) = await world.until(found, lambda jobs: len(jobs) > 0)
    return job


async def settled(world: World, order: Order) -> tuple[Job, Order]:
    """The order and its own job, when that has ended."""
    job = await world.ended(await world.job_of(order))
    return job, await world.read(Order, order.id)


async def domains(world: World) -> set[str]:
    """Of what lives at the providers: sites, their files, and records alike."""
    hosting = (await world.control("hosting", "GET", "ledger"))["objects"]
    names = (await world.control("powerdns", "GET", "ledger"))["objects"]
    sites = {one["domain"] for one in hosting.get("site", [])}
    files = {one["path"].split("/")[4] for one in hosting.get("file", [])}
    records = {
        one["name"].rstrip(".") for one in names.get("record", []) if one["type"] == "A"
    }
    assert files == records == sites, (files, records, sites)
    return sites


async def like_golden(world: World, order: Order) -> None:
    """Its end, and its effects at the providers, are those of an undisturbed order."""
    job, order = await settled(world, order)
    assert job.status == JobStatus.SUCCEEDED
    assert order.status == OrderStatus.COMPLETED
    domain = (await world.website_of(order)).domain
    made: Counter[tuple[str, str]] = Counter()
    for provider in ("hosting", "powerdns"):
        for effect, key in await world.effects(provider):
            # The platform's zone is everybody's.
            made[(provider, effect)] += domain in key
    assert +made == OF_ONE_ORDER


async def make_site(world: World, domain: str, site_user: str) -> None:
    """A site that nobody ordered: made by hand, or by a call that was thought lost."""
    async with world.db.platform() as session:
        server = (await session.exec(select(Server))).one()
    panel = CloudPanel(
        server.ssh_host,
        server.ssh_port,
        username=server.ssh_user,
        client_key=world.settings.hosting_ssh_key_file,
        known_host_key=server.host_key,
        gate=OpenGate(),
    )
    await panel.create_site(
        domain=domain, site_user=site_user, password=uuid4().hex, kind="php"
    )
    await panel.aclose()
