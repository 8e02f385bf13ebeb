"""What the API has said holds, whatever is away behind it."""

import asyncio
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager

import httpx
import pytest
from temporalio.client import Client

from tests.dev.program import PATIENT, until
from tests.faults.ledgers import GOLDEN, Ledgers, delivered, times
from tests.faults.shop import Paid, Shop
from tests.faults.stand import Stand

COPIES = 100
# Several waits follow one another, on a stack that may have to come up before.
pytestmark = pytest.mark.timeout(600)


def test_a_hundred_copies_of_one_webhook_make_one_order(
    shop: Shop, stand: Stand
) -> None:
    since, paid = Ledgers(shop), shop.pay()
    with stand.second_api() as second:
        answers = at_once(shop, paid, [stand.dev["api"], second] * (COPIES // 2))

    assert [one.status_code for one in answers] == [202] * COPIES
    [order_id] = {one.json()["orderId"] for one in answers}
    order = shop.completed(order_id)
    since.come_to(GOLDEN)
    delivered(shop, paid, order)
    assert asyncio.run(runs_about(stand, order_id)) == [f"fulfil_order:{root(order)}"]
    again = shop.post(paid.body).json()
    assert (again["orderId"], again["deduplicated"]) == (order_id, True)
    assert stand.doctor().returncode == 0


def at_once(shop: Shop, paid: Paid, apis: list[str]) -> list[httpx.Response]:
    """The same body to each of them, when all are ready to send."""
    line = threading.Barrier(len(apis))

    def send(api: str) -> httpx.Response:
        line.wait()
        return shop.post(paid.body, api=api)

    with ThreadPoolExecutor(len(apis)) as threads:
        return list(threads.map(send, apis))


def root(order: dict[str, list[dict[str, str]]]) -> str:
    [job] = [job for job in order["jobs"] if job["type"] == "fulfil_order"]
    return job["id"]


async def runs_about(stand: Stand, subject_id: str) -> list[str]:
    client = await Client.connect(stand.dev["temporal"])
    found = client.list_workflows(f"SubjectId = '{subject_id}'")
    return [one.id async for one in found]


@contextmanager
def hung(stand: Stand) -> Iterator[None]:
    with stand.frozen(stand.pid("temporal")):
        yield


@contextmanager
def dead(stand: Stand) -> Iterator[None]:
    with stand.dead("temporal"):
        yield


@pytest.mark.parametrize("away", [dead, hung])
def test_orders_are_accepted_at_once_while_temporal_is_away(
    away: Callable[[Stand], AbstractContextManager[None]], shop: Shop, stand: Stand
) -> None:
    since = Ledgers(shop)
    paid = [shop.pay() for _ in range(5)]
    took: list[float] = []
    orders = []
    with away(stand):
        for one in paid:
            began = time.monotonic()
            answer = shop.post(one.body)
            took.append(time.monotonic() - began)
            assert answer.status_code == 202
            orders.append(answer.json()["orderId"])

    # The middle one: this machine may be busy with other things for a moment.
    assert statistics.median(took) < 0.5, took
    for one, order_id in zip(paid, orders, strict=True):
        delivered(shop, one, shop.completed(order_id))
    since.come_to(times(GOLDEN, 5))


def test_a_decision_is_taken_while_no_worker_is_there(shop: Shop, stand: Stand) -> None:
    since = Ledgers(shop)
    shop.fault("hosting", {"kind": "reject", "op": "clpctl site:add*"})
    paid, order_id = shop.bought()
    job_id = parked(shop, order_id)

    with stand.frozen(stand.pid("worker")):
        began = time.monotonic()
        answer = shop.decide(job_id, "retry", reason="the server is well again")
        assert time.monotonic() - began < 15
        assert answer.is_success, answer.text
        assert answer.json()["decision"]["status"] == "recorded"
        stand.kill("worker")

    delivered(shop, paid, shop.completed(order_id))
    since.come_to(GOLDEN)

    def told() -> bool:
        [decision] = shop.read(f"/api/jobs/{job_id}/decisions")["items"]
        return str(decision["status"]) == "delivered"

    until(told, within=PATIENT)


def parked(shop: Shop, order_id: str) -> str:
    """The order's job that needs attention."""

    def waiting() -> list[str]:
        jobs = shop.read(f"/api/orders/{order_id}")["jobs"]
        return [job["id"] for job in jobs if job["status"] == "needs_attention"]

    until(waiting, within=PATIENT)
    [job_id] = waiting()
    return job_id
