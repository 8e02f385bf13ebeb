"""A paid order becomes a live website; whatever goes wrong, the money and the
providers' ledgers add up."""

import asyncio
from datetime import timedelta

import pytest

from models.base import utc_now
from models.jobs import Job
from models.orders import Order
from models.states import JobStatus, OrderStatus, Reason, ServiceStatus
from tests.judge import balanced, golden
from tests.world import World

PRICE = 5498  # wp_growth 49.99 + daily_backups_30d 4.99


async def test_a_paid_order_becomes_a_live_website(here: World) -> None:
    paid = await here.pay(PRICE)

    order = await here.order(customer=paid["customer"]["id"])
    job = await here.ended(await here.job_of(order))

    assert job.status == JobStatus.SUCCEEDED
    assert (await here.read(Order, order.id)).status == OrderStatus.COMPLETED
    website = await here.website_of(order)
    assert website.status == ServiceStatus.ACTIVE
    page = await here.page(website.domain)
    assert str(website.id) in page.text
    assert website.domain in page.text
    await here.until(lambda: here.effects("mail"), lambda sent: len(sent) == 2)
    await golden(here, orders=1)
    await balanced(here)


async def test_an_unpaid_order_touches_no_provider(here: World) -> None:
    customer = (await here.pay(1, status="processing"))["customer"]["id"]
    order = await here.order(customer=customer)
    job = await here.job_of(order)
    await here.until(
        lambda: here.read(Job, job.id), lambda one: one.status == JobStatus.RUNNING
    )

    await asyncio.sleep(2.5)  # the sweep looks every second

    for provider in ("hosting", "powerdns", "backup_store", "mail"):
        assert await here.effects(provider) == []
    assert (await here.read(Order, order.id)).status == OrderStatus.AWAITING_PAYMENT


async def test_the_payment_may_come_after_the_order(here: World) -> None:
    customer = (await here.pay(1, status="processing"))["customer"]["id"]
    order = await here.order(customer=customer)
    await asyncio.sleep(0.5)

    await here.pay(PRICE, customer=customer)

    # Not told by any event: found by asking Stripe what succeeded.
    assert (await here.ended(await here.job_of(order))).status == JobStatus.SUCCEEDED


@pytest.mark.parametrize(
    ("amount", "currency"), [(PRICE + 1, "usd"), (PRICE - 1, "usd"), (PRICE, "eur")]
)
async def test_a_payment_that_is_near_waits_for_a_person(
    here: World, amount: int, currency: str
) -> None:
    paid = await here.pay(amount, currency=currency)

    order = await here.order(customer=paid["customer"]["id"])
    job = await here.parked(await here.job_of(order))

    assert job.reason == Reason.PAYMENT_AMBIGUOUS
    assert str(amount) in (job.message or "")
    assert await here.sites() == set()
    told = await here.until(lambda: here.effects("mail"), lambda sent: len(sent) == 1)
    assert len(told) == 1


@pytest.mark.parametrize("spoilt", ["refunded", "disputed"])
async def test_a_payment_given_back_buys_nothing(here: World, spoilt: str) -> None:
    paid = await here.pay(PRICE)
    intent = paid["payment_intent"]["id"]
    if spoilt == "disputed":
        await here.control("stripe", "POST", "dispute", json={"payment_intent": intent})
    else:
        await here.wired.stripe.refund(intent, amount=PRICE, key="test", metadata={})

    order = await here.order(customer=paid["customer"]["id"])
    await asyncio.sleep(1.5)

    assert (await here.read(Order, order.id)).status == OrderStatus.AWAITING_PAYMENT
    assert await here.sites() == set()


async def test_the_charge_of_a_renewal_buys_nothing_new(here: World) -> None:
    """An old signed body, sent again after the customer's card was charged."""
    customer = (await here.pay(1, status="processing"))["customer"]["id"]
    stripe = here.wired.stripe
    price = await here.stripe(
        "prices",
        unit_amount=PRICE,
        currency="usd",
        **{"recurring[interval]": "month", "product_data[name]": "Growth"},
    )
    await here.stripe(
        "payment_methods/pm_card_visa/attach", customer=customer, then_default=customer
    )
    await here.stripe(
        "subscriptions", customer=customer, **{"items[0][price]": price["id"]}
    )
    charged = await stripe.payments_of(customer, since=utc_now() - timedelta(days=1))
    assert [one.amount_received for one in charged if one.invoice_id] == [PRICE]

    order = await here.order(customer=customer)
    await asyncio.sleep(1.5)

    assert (await here.read(Order, order.id)).status == OrderStatus.AWAITING_PAYMENT
    assert await here.sites() == set()
    await balanced(here)


async def test_one_payment_proves_one_of_two_orders(here: World) -> None:
    paid = await here.pay(PRICE)
    customer = paid["customer"]["id"]

    orders = [
        await here.order(customer=customer, key=f"event:{number}") for number in (1, 2)
    ]
    await here.until(here.sites, lambda sites: len(sites) == 1)
    await asyncio.sleep(1)

    states = sorted([(await here.read(Order, one.id)).status for one in orders])
    assert OrderStatus.AWAITING_PAYMENT in states
    assert len(await here.sites()) == 1


async def test_an_order_unpaid_for_a_week_expires_and_a_late_payment_revives_it(
    here: World,
) -> None:
    customer = (await here.pay(1, status="processing"))["customer"]["id"]
    order = await here.order(customer=customer)
    job = await here.until(
        lambda: here.job_of(order), lambda one: one.status == JobStatus.RUNNING
    )
    async with here.db.platform() as session:
        row = await session.get_one(Job, job.id)
        row.started_at = utc_now() - timedelta(days=7, minutes=1)
        await session.commit()

    async def asked() -> Job:
        await here.wired.stripe_watch.ask_now(job)
        await asyncio.sleep(0.5)
        return await here.read(Job, job.id)

    expired = await here.until(asked, lambda one: one.status == JobStatus.FAILED)
    assert expired.reason == Reason.PAYMENT_EXPIRED
    assert (await here.read(Order, order.id)).status == OrderStatus.EXPIRED

    await here.pay(PRICE, metadata={"order_id": str(order.id)})

    revived = await here.until(
        lambda: here.read(Job, job.id), lambda one: one.status == JobStatus.SUCCEEDED
    )
    assert revived.generation == 2
    assert (await here.read(Order, order.id)).status == OrderStatus.COMPLETED


async def test_twenty_orders_at_once_all_become_websites(here: World) -> None:
    async def one(number: int) -> Order:
        email = f"c{number}@example.com"
        paid = await here.pay(PRICE, email=email)
        return await here.order(customer=paid["customer"]["id"], email=email)

    orders = await asyncio.gather(*(one(number) for number in range(20)))
    for order in orders:
        job = await here.ended(await here.job_of(order))
        assert job.status == JobStatus.SUCCEEDED

    await golden(here, orders=20)
    await balanced(here)
