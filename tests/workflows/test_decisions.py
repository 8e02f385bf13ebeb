"""Decisions are rows: taken while nobody can carry them out, and one at a time."""

import asyncio
import time
from functools import partial

from api.services import websites
from api.services.starting import settled as starts_settled
from models.errors import Busy
from models.jobs import Decision, Job
from models.queries import jobs
from models.states import (
    DecisionStatus,
    JobKind,
    JobStatus,
    OrderStatus,
    ServiceStatus,
)
from models.websites import Website
from tests.judge import balanced
from tests.workflows.operator import (
    OPERATOR,
    abort_item,
    abort_order,
    refunds,
    retry,
)
from tests.workflows.shop import (
    LINES,
    PRICE,
    buy,
    domains,
    like_golden,
    settled,
    unpaid,
    waiting,
)
from tests.world import World


async def test_decisions_without_a_worker_are_answered_at_once_and_carried_out_later(
    here: World,
) -> None:
    await here.fault("powerdns", {"kind": "reject", "op": "PATCH *", "times": 3})
    again, item, whole = [await buy(here) for _ in range(3)]
    parked = [await waiting(here, order) for order in (again, item, whole)]
    await here.worker.stop()

    began = time.monotonic()
    decided = [
        await retry(here, parked[0]),
        await abort_item(here, parked[1]),
        await abort_order(here, parked[2]),
    ]
    assert time.monotonic() - began < 10, "a second for each"
    for one in decided:
        row = await here.read(Decision, one.id)
        assert row.status == DecisionStatus.RECORDED

    here.worker.start()

    await like_golden(here, again)
    for order, amounts in ((item, LINES), (whole, [PRICE])):
        _, ended = await settled(here, order)
        assert ended.status == OrderStatus.FAILED
        assert await refunds(here, order) == amounts
    for one in decided:
        row = await here.until(
            partial(here.read, Decision, one.id),
            lambda now: now.status != DecisionStatus.RECORDED,
        )
        assert row.status == DecisionStatus.DELIVERED
    assert await domains(here) == {(await here.website_of(again)).domain}
    await balanced(here)


async def test_an_order_aborted_before_it_was_ever_started_is_cancelled(
    here: World,
) -> None:
    await here.worker.stop()
    order = await buy(here)

    await abort_order(here, await here.job_of(order))
    here.worker.start()

    job, order = await settled(here, order)
    assert (job.status, order.status) == (JobStatus.CANCELLED, OrderStatus.CANCELLED)
    await asyncio.sleep(1.5)  # the sweep looks every second
    assert await here.sites() == set()


async def test_an_order_that_waits_for_its_payment_can_be_aborted(here: World) -> None:
    order = await unpaid(here)
    job = await here.until(
        lambda: here.job_of(order), lambda one: one.status == JobStatus.RUNNING
    )

    await abort_order(here, job)

    job, order = await settled(here, order)
    assert (job.status, order.status) == (JobStatus.FAILED, OrderStatus.CANCELLED)
    assert await refunds(here, order) == []


async def test_of_suspend_delete_and_provision_at_once_one_runs_and_is_named(
    here: World,
) -> None:
    order = await buy(here)
    await like_golden(here, order)
    site = await here.website_of(order)

    # Nobody is done before the last has asked.
    await here.worker.stop()
    asked = await asyncio.gather(
        act(here, site, JobKind.WEBSITE_SUSPEND),
        act(here, site, JobKind.WEBSITE_DELETE),
        provision(here, site),
        return_exceptions=True,
    )

    here.worker.start()
    (job,) = [one for one in asked if isinstance(one, Job)]
    refused = [one for one in asked if isinstance(one, Busy)]
    assert [one.details["job_id"] for one in refused] == [str(job.id)] * 2, asked
    assert (await here.ended(job)).status == JobStatus.SUCCEEDED
    await starts_settled()
    state = (await here.read(Website, site.id)).status
    assert (
        state
        == {
            JobKind.WEBSITE_SUSPEND: ServiceStatus.SUSPENDED,
            JobKind.WEBSITE_DELETE: ServiceStatus.TERMINATED,
            JobKind.WEBSITE_PROVISION: ServiceStatus.ACTIVE,
        }[JobKind(job.kind)]
    )


async def act(world: World, site: Website, kind: JobKind) -> Job:
    async with world.db.platform() as session:
        _, job = await websites.ask(session, world.client, OPERATOR, site.id, kind)
        return job


async def provision(world: World, site: Website) -> Job:
    """Its provisioning, once more, as a bug might ask for it."""
    job = Job(
        tenant_id=site.tenant_id,
        kind=JobKind.WEBSITE_PROVISION,
        subject_id=site.id,
    )
    async with world.db.platform() as session:
        await jobs.add_exclusive(session, job)
        await session.commit()
    return job
