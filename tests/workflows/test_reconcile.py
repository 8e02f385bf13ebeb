"""Runs that ended outside, or that Temporal does not know any more."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import product
from uuid import uuid4

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from models.alerts import Alert
from models.base import utc_now
from models.database import Database
from models.jobs import Job, JobStep
from models.orders import Order
from models.states import Act, JobKind, JobStatus, OrderStatus, Reason, StepStatus
from models.tenants import MIGRAHOSTING
from tests.judge import balanced, golden
from tests.workflows.paths import (
    PRICE,
    decide,
    finished,
    job_of_line,
    noticed,
    paid_order,
    parked_at_site,
    rows,
    steps_of,
    terminated,
)
from tests.world import Providers, World, world
from workers.reconcile import Reconciler

HELD = {"kind": "hold", "op": "clpctl site:add:*", "times": 4}


@pytest.fixture
async def patient(
    simulators: Providers, db: Database, temporal: WorkflowEnvironment
) -> AsyncIterator[World]:
    """A world whose steps are tried again."""
    target = temporal.client.service_client.config.target_host
    async with world(simulators, db, target, patience_seconds=30.0) as made:
        yield made


async def under_way(here: World, job: Job) -> Job:
    return await here.until(
        lambda: here.read(Job, job.id), lambda one: one.status == JobStatus.RUNNING
    )


async def test_a_run_ended_in_the_temporal_ui_waits_and_retry_adopts_what_exists(
    here: World,
) -> None:
    await here.fault("hosting", HELD)
    kinds = (JobKind.FULFIL_ORDER, JobKind.WEBSITE_PROVISION)
    ends: list[tuple[Order, Job]] = []
    for number, (kind, how) in enumerate(product(kinds, ("cancel", "terminate"))):
        order = await paid_order(here, number=number)
        await under_way(here, await job_of_line(here, order, kinds[1]))
        job = await job_of_line(here, order, kind)
        run = here.client.get_workflow_handle(job.workflow_id)
        await (run.cancel() if how == "cancel" else run.terminate())
        ends.append((order, job))
    await here.fault("hosting")

    for _, job in ends:
        await noticed(here, job, Reason.RUN_ENDED_OUTSIDE)
        [alert] = await rows(here, Alert, job_id=job.id)
        assert alert.cause == Reason.RUN_ENDED_OUTSIDE
        await decide(here, job, Act.RETRY)

    for order, job in ends:
        await finished(here, await here.job_of(order), JobStatus.SUCCEEDED)
        assert (await here.read(Job, job.id)).generation == 2
        assert (await here.read(Order, order.id)).status == OrderStatus.COMPLETED
    await golden(here, orders=4)
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

    await noticed(here, root, Reason.RUN_LOST)
    await decide(here, await here.read(Job, root.id), Act.ABORT_ORDER)

    done = await here.ended(root)
    assert done.status == JobStatus.FAILED
    assert await here.sites() == set()
    refunds = [one for one in await here.effects("stripe") if "refund.created" in one]
    assert len(refunds) == 1
    await balanced(here)


async def test_a_run_that_temporal_lost_goes_on_and_makes_nothing_twice(
    here: World,
) -> None:
    order, website = await parked_at_site(here)
    for job in (website, await here.job_of(order)):
        await forgotten(here, job)

    for job in (website, await here.job_of(order)):
        await noticed(here, job, Reason.RUN_LOST)
    for job in (website, await here.job_of(order)):
        await decide(here, job, Act.RETRY)

    await finished(here, await here.job_of(order), JobStatus.SUCCEEDED)
    await golden(here, orders=1)
    await balanced(here)


async def test_after_a_terminated_run_an_abort_undoes_what_it_had_made(
    here: World,
) -> None:
    await here.fault("powerdns", {"kind": "reject", "op": "PATCH *"})
    order = await paid_order(here)
    website = await here.parked(
        await job_of_line(here, order, JobKind.WEBSITE_PROVISION)
    )
    assert len(await here.sites()) == 1
    await terminated(here, website)

    await decide(here, website, Act.ABORT_ITEM)

    await finished(here, website, JobStatus.FAILED)
    await finished(here, await here.job_of(order), JobStatus.SUCCEEDED)
    assert (await here.read(Order, order.id)).status == OrderStatus.FAILED
    assert await here.sites() == set()
    await balanced(here)


async def test_a_child_ended_before_its_first_step_waits_for_its_own_decision(
    here: World,
) -> None:
    unpaid = (await here.pay(1, status="processing"))["customer"]["id"]
    order = await here.order(customer=unpaid)
    website = await job_of_line(here, order, JobKind.WEBSITE_PROVISION)
    # Where no worker listens; so it is ended before it has done anything.
    handle = await here.client.start_workflow(
        "ProvisionWebsite", id=website.workflow_id, task_queue="nobody"
    )
    await handle.terminate("by hand")
    await here.pay(PRICE, customer=unpaid)

    await noticed(here, website, Reason.RUN_ENDED_OUTSIDE)
    # The order's next run does not begin it anew, either: that is for a person.
    await terminated(here, await here.job_of(order))
    await decide(here, await here.job_of(order), Act.RETRY)
    await under_way(here, await here.job_of(order))
    await asyncio.sleep(1)
    assert await here.sites() == set()
    await decide(here, website, Act.RETRY)

    await finished(here, await here.job_of(order), JobStatus.SUCCEEDED)
    assert (await here.read(Job, website.id)).generation == 2
    await golden(here, orders=1)


async def test_a_timeline_that_was_lost_is_rebuilt_from_history(
    patient: World,
) -> None:
    here = patient
    await here.fault("powerdns", {"kind": "fail", "op": "PATCH *", "times": 1})
    order = await paid_order(here)
    await finished(here, await here.job_of(order), JobStatus.SUCCEEDED)
    job = await job_of_line(here, order, JobKind.WEBSITE_PROVISION)
    # The last line may still be on its way.
    written = await here.until(
        lambda: steps_of(here, job),
        lambda told: all(state == StepStatus.SUCCEEDED for state, _ in told.values()),
    )
    assert written["create_record"] == (StepStatus.SUCCEEDED, 2)
    async with here.db.platform() as session:
        for step in await rows(here, JobStep, job_id=job.id):
            await session.delete(step)
        (await session.get_one(Job, job.id)).timeline_final = False
        await session.commit()

    assert await here.until(lambda: steps_of(here, job), lambda told: told == written)


async def forgotten(here: World, job: Job) -> None:
    """Temporal knows the job's run no more."""
    execution = WorkflowExecution(workflow_id=job.workflow_id)
    await here.client.workflow_service.delete_workflow_execution(
        DeleteWorkflowExecutionRequest(
            namespace="default", workflow_execution=execution
        )
    )

    async def known() -> bool:
        with contextlib.suppress(RPCError):
            await here.client.get_workflow_handle(job.workflow_id).describe()
            return True
        return False

    await here.until(known, lambda still: not still)


async def test_a_job_that_cannot_be_looked_at_holds_up_no_other(
    db: Database, temporal: WorkflowEnvironment
) -> None:
    strange, lost = (
        Job(
            tenant_id=MIGRAHOSTING,
            kind=kind,
            subject_id=uuid4(),
            status=JobStatus.RUNNING,
            started_generation=1,
            updated_at=utc_now() - timedelta(minutes=1),
        )
        for kind in ("a_kind_of_the_next_release", JobKind.FULFIL_ORDER)
    )
    async with db.platform() as session:
        session.add_all([strange, lost])
        await session.commit()

    await Reconciler(db, temporal.client, every=timedelta()).round()

    async with db.platform() as session:
        assert (await session.get_one(Job, lost.id)).reason == Reason.RUN_LOST
        assert (await session.get_one(Job, strange.id)).status == JobStatus.RUNNING
