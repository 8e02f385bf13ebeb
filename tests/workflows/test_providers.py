"""Providers on their bad days: names that are taken, and outages."""

import asyncio

from models.jobs import Job
from models.states import JobStatus, OrderStatus, Reason
from tests.workflows.operator import abort_order, refunds, timeline
from tests.workflows.shop import (
    PRICE,
    buy,
    like_golden,
    line_of,
    make_site,
    settled,
    unpaid,
    waiting,
)
from tests.world import World


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
