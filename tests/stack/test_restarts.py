"""The stack is stopped in the middle of its work and started on the same data folder:
everything is there, and goes on."""

import asyncio
import time

import pytest
from temporalio.client import Client

from tests.dev.program import PATIENT, until
from tests.faults.ledgers import GOLDEN, Ledgers, delivered, times
from tests.faults.shop import Paid, Shop
from tests.faults.stand import Stand

ORDERS = 10
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def before(shop: Shop) -> tuple[Paid, str]:
    """An order that was delivered before the stop."""
    since = Ledgers(shop)
    paid, order_id = shop.bought()
    shop.completed(order_id)
    since.come_to(GOLDEN)
    return paid, order_id


@pytest.fixture(scope="module")
def interrupted(
    before: tuple[Paid, str], shop: Shop, stand: Stand
) -> tuple[Ledgers, list[tuple[Paid, str]]]:
    """Ten orders, Ctrl-C in the middle of them, and a new start."""
    since = Ledgers(shop)
    shop.delays("hosting", **{"clpctl *": 1.0, "sftp write": 1.0})
    orders = [shop.bought() for _ in range(ORDERS)]
    until(lambda: "record.put" in str(since.effects("powerdns")), within=PATIENT)
    stand.down()
    stand.up()
    shop.delays("hosting")
    return since, orders


def test_ten_interrupted_orders_are_all_completed(
    interrupted: tuple[Ledgers, list[tuple[Paid, str]]], shop: Shop, stand: Stand
) -> None:
    since, orders = interrupted
    # Two letters an order: that it was paid, and that its website is live.
    assert len(since.effects("mail")) < 2 * ORDERS  # else nothing was interrupted
    for paid, order_id in orders:
        delivered(shop, paid, shop.completed(order_id))
    since.come_to(times(GOLDEN, ORDERS))
    assert stand.doctor().returncode == 0


def test_what_was_there_before_is_found_again(
    interrupted: tuple[Ledgers, list[tuple[Paid, str]]],
    before: tuple[Paid, str],
    shop: Shop,
    stand: Stand,
) -> None:
    for paid, order_id in [before, *interrupted[1]]:
        order = shop.completed(order_id)
        delivered(shop, paid, order)
        [site] = shop.read(f"/api/customers/{order['customerId']}/websites")["items"]
        assert asyncio.run(schedules_of(stand, site["id"])) == 1


async def schedules_of(stand: Stand, website_id: str) -> int:
    """How many schedules name the website; the list is a moment behind."""
    client = await Client.connect(stand.dev["temporal"])
    deadline = time.monotonic() + PATIENT
    while True:
        ids = [one.id async for one in await client.list_schedules()]
        found = sum(website_id in id for id in ids)
        if found or time.monotonic() > deadline:
            return found
        await asyncio.sleep(0.2)
