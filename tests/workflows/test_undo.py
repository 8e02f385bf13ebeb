"""Rejected at whichever call, an order is parked, told of, and ends as the operator
says: like an undisturbed one, or taken back whole and refunded exactly once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from temporalio.testing import WorkflowEnvironment

from models.database import Database
from models.jobs import Job
from models.orders import Order
from models.states import JobStatus, OrderStatus, Reason, ServiceStatus
from tests.judge import balanced
from tests.workflows.operator import (
    abort_item,
    abort_order,
    alerts,
    mails_about,
    refunds,
    retry,
    subscriptions,
)
from tests.workflows.shop import (
    LINES,
    PRICE,
    buy,
    domains,
    jobs_of,
    like_golden,
    line_of,
    settled,
    waiting,
)
from tests.world import Providers, World, world

HOSTING = ("wp_growth", "hosting")
FLOW = ("stripe", "hosting", "powerdns")


@dataclass(frozen=True)
class Call:
    """The `nth` call (from 1) of an operation, of all that one order makes."""

    provider: str
    op: str
    nth: int


@dataclass(frozen=True)
class Parked:
    """An order whose `job` waits, since `call` was rejected."""

    call: Call
    order: Order
    job: Job

    @property
    def unpaid(self) -> bool:
        """Whether its payment was not even looked at."""
        return self.call.provider == "stripe"


@pytest.fixture
async def quiet(
    simulators: Providers, db: Database, temporal: WorkflowEnvironment
) -> AsyncIterator[World]:
    """Nobody but the orders calls Stripe, once the loops have had their first look."""
    async with world(
        simulators,
        db,
        temporal.client.service_client.config.target_host,
        patience_seconds=30.0,
        payments_seconds=3600,
        unclaimed_after_seconds=0.1,
        operator_burst=1000,
    ) as made:
        # Two loops make two calls each, at the start and when they begin to listen.
        await made.until(lambda: made.calls("stripe"), lambda calls: len(calls) >= 8)
        yield made


async def test_rejected_at_any_call_an_order_parks_and_ends_as_the_operator_says(
    quiet: World,
) -> None:
    calls = await calls_of_an_order(quiet)
    before = await domains(quiet)

    parked = [one for call in calls for one in await park(quiet, call, orders=3)]

    for one in parked:
        await assert_told(quiet, one)
    again, item, whole = parked[0::3], parked[1::3], parked[2::3]
    for one in again:
        await retry(quiet, one.job)
    for one in item:
        await abort_item(quiet, await line_of(quiet, one.order))
        if one.unpaid:  # its lines are cancelled; what waits is the order itself
            await retry(quiet, one.job)
    for one in whole:
        await abort_order(quiet, one.job)

    for one in again:
        await like_golden(quiet, one.order)
        assert await alerts(quiet, one.job) == []
    for one in item:
        await assert_undone(quiet, one, OrderStatus.FAILED, refunded=LINES)
    for one in whole:
        if one.unpaid:
            await assert_undone(quiet, one, OrderStatus.CANCELLED, refunded=[])
        else:
            await assert_undone(quiet, one, OrderStatus.FAILED, refunded=[PRICE])
    alive = {(await quiet.website_of(one.order)).domain for one in again}
    assert await domains(quiet) == before | alive
    await quiet.wired.stripe_watch.payments()
    assert (await balanced(quiet)).listed == PRICE * sum(one.unpaid for one in whole)


async def test_of_two_websites_one_is_given_up_or_both(here: World) -> None:
    orders = []
    for _ in range(2):
        await here.fault("hosting", {"kind": "reject", "op": "clpctl site:add*"})
        orders.append(await buy(here, HOSTING, HOSTING, price=2 * LINES[1]))
        await waiting(here, orders[-1])
    part, whole = orders

    await abort_item(here, await waiting(here, part))
    await abort_order(here, await waiting(here, whole))

    job, order = await settled(here, part)
    assert (job.status, order.status) == (
        JobStatus.SUCCEEDED,
        OrderStatus.PARTIALLY_FULFILLED,
    )
    assert await refunds(here, part) == [LINES[1]]
    assert sorted(await subscriptions(here, part)) == ["active", "failed"]
    job, order = await settled(here, whole)
    assert (job.status, order.status) == (JobStatus.FAILED, OrderStatus.FAILED)
    assert await refunds(here, whole) == [2 * LINES[1]]
    assert await subscriptions(here, whole) == ["failed", "failed"]
    assert len(await domains(here)) == 1
    await balanced(here)


@pytest.mark.parametrize("lost", ["execute_then_fail", "execute_then_timeout"])
async def test_a_refund_whose_answer_is_lost_is_made_once(
    quiet: World, lost: str
) -> None:
    await quiet.fault("powerdns", {"kind": "reject", "op": "PATCH *"})
    order = await buy(quiet)
    job = await waiting(quiet, order)
    script = {"kind": lost, "op": "POST /v1/refunds", "seconds": 0.1}
    await quiet.fault("stripe", script)

    await abort_order(quiet, job)

    _, ended = await settled(quiet, order)
    assert ended.status == OrderStatus.FAILED
    assert await refunds(quiet, order) == [PRICE]
    await balanced(quiet)


async def calls_of_an_order(world: World) -> list[Call]:
    """Of an undisturbed one, at every provider, when the platform's zone is there."""
    await like_golden(world, await buy(world))
    before = {name: len(await world.calls(name)) for name in FLOW}
    await like_golden(world, await buy(world))
    made = []
    for name in FLOW:
        seen: Counter[str] = Counter()
        for call in (await world.calls(name))[before[name] :]:
            seen[call["op"]] += 1
            made.append(Call(name, call["op"], seen[call["op"]]))
    return made


async def park(world: World, call: Call, *, orders: int) -> list[Parked]:
    """So many orders, each rejected at this call of its own."""
    made: list[Parked] = []
    # A rejected order makes no further call: the first calls of all come first.
    at_once = orders if call.nth == 1 else 1
    while len(made) < orders:
        script = {"kind": "reject", "op": call.op, "at": call.nth, "times": at_once}
        await world.fault(call.provider, script)
        begun = await asyncio.gather(*(buy(world) for _ in range(at_once)))
        made += [Parked(call, each, await waiting(world, each)) for each in begun]
        await world.fault(call.provider)
    return made


async def assert_told(world: World, one: Parked) -> None:
    """One alert, and one mail within ten seconds."""
    assert one.job.reason == Reason.REJECTED, one
    assert one.call.provider in (one.job.message or ""), one
    assert len(await alerts(world, one.job)) == 1, one
    (mail,) = await world.until(
        lambda: mails_about(world, one.job), lambda mails: len(mails) > 0
    )
    assert mail["at"] - one.job.updated_at.timestamp() < 10, one


async def assert_undone(
    world: World, one: Parked, status: OrderStatus, *, refunded: list[int]
) -> None:
    """It failed, and its money is back; the caller looks at the providers."""
    _, order = await settled(world, one.order)
    assert order.status == status, one
    assert (await world.website_of(order)).status == ServiceStatus.FAILED, one
    assert set(await subscriptions(world, order)) == {ServiceStatus.FAILED}, one
    assert await refunds(world, order) == refunded, one
    for job in await jobs_of(world, order):
        assert await alerts(world, job) == [], one
