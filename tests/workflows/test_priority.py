"""Interactive orders go before batch work, and tenants share a queue fairly."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from uuid import UUID, uuid4

import pytest
from temporalio.testing import WorkflowEnvironment

from models.database import Database, asking
from models.jobs import Job
from models.ordering import Line, OrderRequest
from models.queries.orders import place
from models.seed import seed_catalogue
from models.states import JobStatus
from models.tenants import MIGRAHOSTING, Tenant
from tests.world import DOMAIN, Providers, World, world

PRICE = 1999
_CROWD = 12


@pytest.fixture
async def slow_hosting(
    simulators: Providers,
    db: Database,
    temporal: WorkflowEnvironment,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[World]:
    """A world whose hosting servers take two steps a second."""
    monkeypatch.setenv("MPANEL_RATE_HOSTING", "2")
    target = temporal.client.service_client.config.target_host
    async with world(simulators, db, target) as made:
        yield made


async def test_a_new_order_overtakes_the_batch_that_was_there_before(
    slow_hosting: World,
) -> None:
    here = slow_hosting
    backlog = await asyncio.gather(
        *(_sold(here, number, batch=True) for number in range(_CROWD))
    )
    await _under_way(here, backlog)

    urgent = await _sold(here, _CROWD)
    done = await here.ended(await here.read(Job, urgent))

    assert done.status == JobStatus.SUCCEEDED
    assert await _still_open(here, backlog) >= _CROWD / 2


async def test_one_order_of_a_small_tenant_does_not_wait_for_a_large_one(
    slow_hosting: World,
) -> None:
    here, small = slow_hosting, uuid4()
    async with here.db.platform() as session:
        session.add(Tenant(id=small, name="Small"))
        await session.commit()
    async with here.db.platform() as session:
        await seed_catalogue(session, small)
        await session.commit()
    crowd = await asyncio.gather(*(_sold(here, number) for number in range(_CROWD)))
    await _under_way(here, crowd)

    alone = await _sold(here, _CROWD, tenant_id=small)
    await here.ended(await here.read(Job, alone))

    assert await _still_open(here, crowd) >= _CROWD / 2


async def _sold(
    here: World, number: int, *, tenant_id: UUID = MIGRAHOSTING, batch: bool = False
) -> UUID:
    """A paid order of one static website; gives its root job."""
    email = f"c{number}@example.com"
    paid = await here.pay(PRICE, email=email)
    request = OrderRequest(
        source="test",
        email=email,
        lines=(Line("starter"),),
        stripe_customer_id=paid["customer"]["id"],
    )
    async with here.db.platform() as session:
        placed = await place(
            asking(session), tenant_id, request, key=None, platform_domain=DOMAIN
        )
        (await session.get_one(Job, placed.job_id)).batch = batch
        await session.commit()
    return placed.job_id


async def _under_way(here: World, job_ids: Sequence[UUID]) -> None:
    """The hosting queue is full of their steps: the first site is there."""
    await here.until(here.sites, lambda sites: len(sites) >= 1)
    assert await _still_open(here, job_ids) == len(job_ids)


async def _still_open(here: World, job_ids: Sequence[UUID]) -> int:
    jobs = [await here.read(Job, job_id) for job_id in job_ids]
    return sum(job.status != JobStatus.SUCCEEDED for job in jobs)
