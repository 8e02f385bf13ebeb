"""A new version comes while orders are under way: nothing is lost, and a version with
a mistake in it says so."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from temporalio.testing import WorkflowEnvironment

from models.database import Database
from models.jobs import Job
from models.orders import Order
from models.states import Act, JobKind, JobStatus, Reason, StepStatus
from tests.judge import balanced, golden
from tests.workflows.fleet import fleet
from tests.workflows.operator import alerts
from tests.workflows.paths import (
    decide,
    job_of_line,
    paid_order,
    parked_at_site,
    steps_of,
)
from tests.workflows.stories import Buggy
from tests.world import Providers, World, world
from workflows.queues import PROVIDERS, STORIES
from workflows.registry import WORKFLOWS
from workflows.websites import ProvisionWebsite

CREATING = "clpctl site:add:*"


@pytest.fixture
async def unserved(
    simulators: Providers, db: Database, temporal: WorkflowEnvironment
) -> AsyncIterator[World]:
    """A world whose workers the test brings."""
    target = temporal.client.service_client.config.target_host
    async with world(simulators, db, target, queues=(), patience_seconds=5.0) as made:
        yield made


async def test_workers_of_two_versions_side_by_side_lose_nothing(
    unserved: World,
) -> None:
    async def bought(*numbers: int) -> list[Order]:
        made = [paid_order(unserved, number=number) for number in numbers]
        return await asyncio.gather(*made)

    async with fleet(unserved, cached_runs=3):
        async with fleet(unserved):
            orders = await bought(0, 1, 2)
            await unserved.until(unserved.sites, lambda sites: len(sites) == 3)
            slow = {"delays": {CREATING: 3.0}}
            await unserved.control("hosting", "PUT", "settings", json=slow)
            orders += await bought(3, 4, 5, 6)
            assert len(await unserved.sites()) == 3
        # The second was drained in the middle of it; the first goes on alone.
        orders += await bought(7, 8, 9)
        for order in orders:
            job = await unserved.ended(await unserved.job_of(order))
            assert job.status == JobStatus.SUCCEEDED

    await golden(unserved, orders=10)
    await balanced(unserved)


async def test_a_worker_that_remembers_nothing_tells_the_same_story(
    unserved: World,
) -> None:
    async with fleet(unserved, cached_runs=0):
        order, website = await parked_at_site(unserved)
        await decide(unserved, website, Act.RETRY)
        job = await unserved.ended(await unserved.job_of(order))

    assert job.status == JobStatus.SUCCEEDED
    await golden(unserved, orders=1)


async def test_a_worker_told_to_stop_lets_a_step_end_what_it_began(
    unserved: World,
) -> None:
    await unserved.fault("hosting", {"kind": "slow", "op": CREATING, "seconds": 1.5})
    async with fleet(unserved):
        order = await paid_order(unserved)
        await unserved.until(lambda: creating(unserved), lambda calls: calls == 1)
    assert len(await unserved.sites()) == 1
    await unserved.fault("hosting")

    async with fleet(unserved):
        job = await unserved.ended(await unserved.job_of(order))

    assert job.status == JobStatus.SUCCEEDED
    assert await creating(unserved) == 1
    website = await job_of_line(unserved, order, JobKind.WEBSITE_PROVISION)
    await unserved.until(
        lambda: steps_of(unserved, website),
        lambda steps: steps.get("create_site") == (StepStatus.SUCCEEDED, 1),
    )


async def test_a_story_with_a_mistake_alerts_and_goes_on_once_it_is_mended(
    unserved: World,
) -> None:
    buggy = [Buggy if one is ProvisionWebsite else one for one in WORKFLOWS]
    async with fleet(unserved, queues=PROVIDERS):
        async with fleet(unserved, queues=[STORIES], stories=buggy):
            order = await paid_order(unserved)
            website = await job_of_line(unserved, order, JobKind.WEBSITE_PROVISION)
            [alert] = await unserved.until(
                lambda: alerts(unserved, website), lambda found: len(found) > 0
            )
            assert alert.cause == Reason.RUN_STUCK
            assert (await unserved.read(Job, website.id)).status == JobStatus.WAITING

        async with fleet(unserved, queues=[STORIES]):
            job = await unserved.ended(await unserved.job_of(order))
            assert job.status == JobStatus.SUCCEEDED
            await unserved.until(
                lambda: alerts(unserved, website), lambda found: found == []
            )

    await golden(unserved, orders=1)


async def creating(here: World) -> int:
    """How often the hosting server was asked to make a site."""
    calls = await here.calls("hosting")
    return sum(one["op"].startswith("clpctl site:add") for one in calls)
