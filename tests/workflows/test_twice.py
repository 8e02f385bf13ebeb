"""Nothing is changed by doing a thing twice, or by losing every line of progress."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from temporalio import activity
from temporalio.testing import WorkflowEnvironment

from models.database import Database
from models.orders import Order
from models.states import OrderStatus
from tests.judge import balanced, golden, tally
from tests.workflows.operator import (
    abort_item,
    abort_order,
    refunds,
    retry,
    timeline,
)
from tests.workflows.shop import (
    LINES,
    PRICE,
    buy,
    domains,
    like_golden,
    line_of,
    settled,
    waiting,
)
from tests.world import Providers, World, world


def twice(act: Callable[..., Any]) -> Callable[..., Any]:
    """An activity of the same name that does its work, and then does it again."""

    @functools.wraps(act)
    async def again(*given: Any) -> Any:
        await act(*given)
        return await act(*given)

    name = again.__dict__.pop("__temporal_activity_definition").name
    return activity.defn(name=name)(again)


@pytest.fixture
async def stuttering(
    simulators: Providers, db: Database, temporal: WorkflowEnvironment
) -> AsyncIterator[World]:
    """A world in which every step, undo and note is done twice."""
    async with world(
        simulators,
        db,
        temporal.client.service_client.config.target_host,
        around=twice,
        patience_seconds=1.0,
        undo_patience_seconds=0.5,
    ) as made:
        yield made


async def test_every_step_done_twice_makes_no_difference(stuttering: World) -> None:
    orders = [await buy(stuttering), await buy(stuttering)]
    for order in orders:
        await like_golden(stuttering, order)

    await golden(stuttering, orders=2)
    await stuttering.until(
        lambda: stuttering.effects("mail"), lambda sent: len(sent) == 4
    )
    await balanced(stuttering)


async def test_every_undo_done_twice_makes_no_difference(stuttering: World) -> None:
    here = stuttering
    await here.fault("powerdns", {"kind": "reject", "op": "PATCH *", "times": 3})
    item, whole, again = [await buy(here) for _ in range(3)]
    for order in (item, whole, again):
        await waiting(here, order)

    await abort_item(here, await waiting(here, item))
    await abort_order(here, await waiting(here, whole))
    await retry(here, await waiting(here, again))

    await like_golden(here, again)
    for order, amounts in ((item, LINES), (whole, [PRICE])):
        _, ended = await settled(here, order)
        assert ended.status == OrderStatus.FAILED
        assert await refunds(here, order) == amounts
    assert await domains(here) == {(await here.website_of(again)).domain}
    made = await tally(here)
    assert made[("hosting", "site.deleted")] == 2
    assert made[("stripe", "refund.created")] == 3
    await balanced(here)


SUCCEEDED = "succeeded"
DELIVERED = {
    "place_website": SUCCEEDED,
    "create_site": SUCCEEDED,
    "create_record": SUCCEEDED,
    "deploy_starter": SUCCEEDED,
    "go_live": SUCCEEDED,
}
UNDONE = {
    "undo:create_record": SUCCEEDED,
    "undo:create_site": SUCCEEDED,
    "undo:place_website": SUCCEEDED,
}
BEFORE_THE_PROBE = {
    name: DELIVERED[name] for name in ("place_website", "create_site", "deploy_starter")
}
SLOW_PATCH = {"delays": {"PATCH *": 1.0}}


@pytest.mark.parametrize("lost", [False, True])
async def test_the_timelines_are_true_also_when_every_line_was_lost(
    simulators: Providers,
    db: Database,
    temporal: WorkflowEnvironment,
    lost: bool,
) -> None:
    async with world(
        simulators,
        db,
        temporal.client.service_client.config.target_host,
        progress_lost=lost,
        reconcile_seconds=0.5,
    ) as here:
        fine = await buy(here)
        await like_golden(here, fine)
        await here.fault("hosting", {"kind": "reject", "op": "clpctl site:add*"})
        retried = await buy(here)
        await retry(here, await waiting(here, retried))
        await like_golden(here, retried)
        await here.fault("powerdns", {"kind": "reject", "op": "PATCH *"})
        parked = await buy(here)
        await is_told(here, parked, BEFORE_THE_PROBE | {"create_record": "parked"})
        await abort_order(here, await waiting(here, parked))
        # Slow as well: it is seen at work before it is seen to wait.
        await here.control("powerdns", "PUT", "settings", json=SLOW_PATCH)
        await here.fault("powerdns", {"kind": "fail", "op": "PATCH *", "times": 10_000})
        stopped = await buy(here)
        await is_told(here, stopped, BEFORE_THE_PROBE | {"create_record": "retrying"})
        await abort_order(here, await line_of(here, stopped))

        for order in (fine, retried):
            await is_told(here, order, DELIVERED)
        end = BEFORE_THE_PROBE | UNDONE
        await is_told(here, parked, end | {"create_record": "parked"})
        await is_told(here, stopped, end | {"create_record": "cancelled"})
        await asyncio.sleep(1)  # and looked at again
        await is_told(here, stopped, end | {"create_record": "cancelled"})


async def is_told(world: World, order: Order, expected: dict[str, str]) -> None:
    """The timeline of the website's job comes to be this."""
    job = await line_of(world, order)
    await world.until(lambda: timeline(world, job), lambda lines: lines == expected)
