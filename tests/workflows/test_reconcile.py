"""Runs that ended outside, or that Temporal does not know any more."""

import asyncio

import pytest
from sqlmodel import select

from models.alerts import Alert
from models.jobs import Job, JobStep
from models.orders import Order
from models.states import Act, JobKind, JobStatus, OrderStatus, Reason
from tests.judge import balanced, golden
from tests.workflows.paths import decide, job_of_line, paid_order
from tests.world import World

SLOW = {"kind": "slow", "op": "clpctl site:add:*", "seconds": 2.0}


async def _flagged(here: World, job: Job, reason: Reason) -> Job:
    told = await here.until(
        lambda: here.read(Job, job.id),
        lambda one: one.status == JobStatus.NEEDS_ATTENTION,
        within=60,
    )
    assert told.reason == reason
    return told


async def _under_way(here: World, job: Job) -> Job:
    return await here.until(
        lambda: here.read(Job, job.id), lambda one: one.status == JobStatus.RUNNING
    )


@pytest.mark.parametrize(
    "kind", [JobKind.FULFIL_ORDER, JobKind.WEBSITE_PROVISION], ids=["parent", "child"]
)
@pytest.mark.parametrize("how", ["terminate", "cancel"])
async def test_a_run_ended_in_the_temporal_ui_waits_and_retry_adopts_what_exists(
    here: World, kind: JobKind, how: str
) -> None:
    await here.fault("hosting", SLOW)
    order = await paid_order(here)
    job = await _under_way(here, await job_of_line(here, order, kind))
    await _under_way(here, await job_of_line(here, order, JobKind.WEBSITE_PROVISION))

    run = here.client.get_workflow_handle(job.workflow_id)
    await (run.cancel() if how == "cancel" else run.terminate())

    await _flagged(here, job, Reason.RUN_ENDED_OUTSIDE)
    async with here.db.platform() as session:
        alerts = (await session.exec(select(Alert).where(Alert.job_id == job.id))).all()
    assert [alert.cause for alert in alerts] == [Reason.RUN_ENDED_OUTSIDE]
    await decide(here, job, Act.RETRY)

    root = await here.ended(await here.job_of(order), within=60)
    assert root.status == JobStatus.SUCCEEDED
    assert (await here.read(Job, job.id)).generation == 2
    assert (await here.read(Order, order.id)).status == OrderStatus.COMPLETED
    await golden(here, orders=1)
    await balanced(here)


async def test_a_run_that_temporal_lost_can_be_aborted_from_its_effects(
    here: World,
) -> None:
    order = await paid_order(here)
    await here.ended(await here.job_of(order))
    root = await here.job_of(order)
    async with here.db.platform() as session:
        # As after the loss of Temporal's store: open, and no run of that id.
        row = await session.get_one(Job, root.id)
        row.status, row.ended_at = JobStatus.RUNNING, None
        row.generation = row.started_generation = 7
        await session.commit()

    await _flagged(here, root, Reason.RUN_LOST)
    await decide(here, await here.read(Job, root.id), Act.ABORT_ORDER)

    done = await here.ended(root, within=60)
    assert done.status == JobStatus.FAILED
    assert await here.sites() == set()
    refunds = [one for one in await here.effects("stripe") if "refund.created" in one]
    assert len(refunds) == 1
    await balanced(here)


async def test_a_timeline_that_was_lost_is_rebuilt_from_history(here: World) -> None:
    order = await paid_order(here)
    job = await here.ended(await here.job_of(order))
    await asyncio.sleep(0.5)

    async def lines() -> dict[str, str]:
        async with here.db.platform() as session:
            found = await session.exec(select(JobStep).where(JobStep.job_id == job.id))
            return {step.name: str(step.status) for step in found.all()}

    written = await lines()
    async with here.db.platform() as session:
        for step in (
            await session.exec(select(JobStep).where(JobStep.job_id == job.id))
        ).all():
            await session.delete(step)
        (await session.get_one(Job, job.id)).timeline_final = False
        await session.commit()

    assert written
    assert await here.until(lines, lambda told: told == written, within=30)
