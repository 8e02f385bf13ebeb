"""Providers on their bad days: names that are taken, outages, and stormy weather."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from temporalio.testing import WorkflowEnvironment

from models.database import Database
from models.jobs import Job
from models.states import JobStatus, OrderStatus, Reason
from tests.judge import balanced, golden
from tests.workflows.operator import abort_order, refunds, timeline
from tests.workflows.shop import (
    PRICE,
    buy,
    domains,
    like_golden,
    line_of,
    make_site,
    settled,
    unpaid,
    waiting,
)
from tests.world import Providers, World, world

ORDERS = 50
AFTER = 1.0  # what Retry-After says, in seconds


async def test_a_site_of_ours_that_is_there_already_is_adopted(here: World) -> None:
    order = await unpaid(here)
    site = await here.website_of(order)
    await make_site(here, site.domain, site.site_user)

    await here.pay(PRICE, customer=order.stripe_customer_id)

    await like_golden(here, order)  # with one site.created, which is not ours
    page = await here.page(site.domain)
    assert str(site.id) in page.text


async def test_a_site_of_somebody_else_is_not_touched_and_its_owner_is_named(
    here: World,
) -> None:
    order = await unpaid(here)
    site = await here.website_of(order)
    await make_site(here, site.domain, "stranger")

    await here.pay(PRICE, customer=order.stripe_customer_id)
    job = await waiting(here, order)

    assert (job.step, job.reason) == ("create_site", Reason.CONFLICT)
    assert "stranger" in (job.message or "")
    await abort_order(here, job)
    _, order = await settled(here, order)
    assert order.status == OrderStatus.FAILED
    assert await here.sites() == {site.domain}, "the stranger's site is the stranger's"
    assert str(site.id) not in (await here.page(site.domain)).text
    assert await refunds(here, order) == [PRICE]


@pytest.fixture
async def patient(
    simulators: Providers, db: Database, temporal: WorkflowEnvironment
) -> AsyncIterator[World]:
    """A world with the patience of every day, but quicker tries."""
    async with world(
        simulators,
        db,
        temporal.client.service_client.config.target_host,
        longest_wait_seconds=1.0,
        payments_seconds=3600,
    ) as made:
        yield made


async def test_an_outage_parks_nothing_and_what_waited_goes_on_by_itself(
    patient: World,
) -> None:
    for name in ("hosting", "powerdns"):
        await patient.fault(name, {"kind": "fail", "times": 10_000})
    order = await buy(patient)
    job = await line_of(patient, order)
    await patient.until(
        lambda: timeline(patient, job),
        lambda steps: steps.get("create_site") == "retrying",
    )

    await asyncio.sleep(3)

    assert (await patient.read(Job, job.id)).status == JobStatus.RUNNING
    for name in ("hosting", "powerdns"):
        await patient.fault(name)
    await like_golden(patient, order)


async def test_fifty_orders_come_through_a_storm_with_the_ledger_of_a_calm_day(
    patient: World,
) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    lag = Lag()
    watching = asyncio.create_task(lag.watch())
    for number, name in enumerate(("stripe", "hosting", "powerdns")):
        await patient.fault(name, *storm(seed + number))

    orders = await asyncio.gather(*(buy(patient) for _ in range(ORDERS)))
    for order in orders:
        job = await patient.ended(await patient.job_of(order), within=150)
        assert job.status == JobStatus.SUCCEEDED

    for name in ("stripe", "hosting", "powerdns"):
        calls = await patient.calls(name)
        assert {call["fault"] for call in calls} >= {"fail", "execute_then_timeout"}
        await patient.fault(name)
    watching.cancel()
    slack = 0.05 + lag.seconds  # simulators and worker share this process
    for name in ("stripe", "powerdns"):
        assert too_early(await patient.calls(name), slack) == []
    assert len(await domains(patient)) == ORDERS
    await golden(patient, orders=ORDERS)
    await balanced(patient)


def storm(seed: int) -> list[dict[str, Any]]:
    """3 of 10 calls fail, 1 of 10 is done without an answer, 1 of 10 is throttled."""
    return [
        {"kind": "fail", "probability": 0.3, "seed": seed},
        {
            "kind": "execute_then_timeout",
            "probability": 0.1,
            "seed": seed + 100,
            "seconds": 0.1,
        },
        {
            "kind": "throttle",
            "probability": 0.1,
            "seed": seed + 200,
            "retry_after": AFTER,
        },
    ]


def too_early(calls: list[dict[str, Any]], slack: float) -> list[tuple[float, str]]:
    """(seconds after the 429, operation) of calls that should have waited."""
    early = []
    closed: dict[str, float] = {}
    for call in calls:
        since = call["at"] - closed.get(call["account"], 0.0)
        if slack < since < AFTER:
            early.append((since, call["op"]))
        if call["status"] == "429":
            closed[call["account"]] = call["at"]
    return early


@dataclass
class Lag:
    """How late this process was at the worst."""

    seconds: float = 0.0

    async def watch(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.01)
            self.seconds = max(self.seconds, time.monotonic() - began - 0.01)
