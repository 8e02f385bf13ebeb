"""Customers, products, subscriptions, orders and alerts, as people read them."""

from uuid import uuid4

import httpx
import pytest

from models.alerts import Alert
from models.database import Database
from models.payments import PaymentClaim, PaymentRefund
from models.states import (
    AlertStatus,
    JobKind,
    JobStatus,
    OrderStatus,
    RefundStatus,
    ServiceStatus,
)
from models.tenants import MIGRAHOSTING
from models.users import Role
from tests.api import rows
from tests.api.conftest import LogIn


@pytest.fixture
async def viewer(log_in: LogIn) -> httpx.AsyncClient:
    return await log_in(Role.VIEWER)


async def ids(viewer: httpx.AsyncClient, path: str, **params: str) -> set[str]:
    response = await viewer.get(path, params=params)
    assert response.status_code == 200
    found = response.json()
    assert len(found["items"]) == found["total"]
    return {one["id"] for one in found["items"]}


async def test_customers_are_searched_by_name_and_address(
    db: Database, viewer: httpx.AsyncClient
) -> None:
    ann = rows.customer(name="Ann Example", email="a@one.example")
    bob = rows.customer(name="Bob 100%", email="b@two.example")
    await rows.add(db, ann, bob)

    assert await ids(viewer, "/api/customers", search="aNN") == {str(ann.id)}
    assert await ids(viewer, "/api/customers", search="two.ex") == {str(bob.id)}
    assert await ids(viewer, "/api/customers", search="100%") == {str(bob.id)}
    assert await ids(viewer, "/api/customers", search="_") == set()
    assert len(await ids(viewer, "/api/customers")) == 2


async def test_prices_are_decimal_numbers_and_orderable_is_told(
    db: Database, viewer: httpx.AsyncClient
) -> None:
    sold, later = rows.product(), rows.product(type="domain", delivers={})
    gone = rows.product(status="retired")
    await rows.add(db, sold, later, gone)

    found = (await viewer.get(f"/api/products/{sold.id}")).json()
    assert found["billingCycles"] == [
        {"cycle": "monthly", "price": 49.99, "currency": "USD"}
    ]
    assert found["code"] == sold.code
    assert found["orderable"] is True
    for other in (later, gone):
        found = (await viewer.get(f"/api/products/{other.id}")).json()
        assert found["orderable"] is False
    hosting = {str(sold.id), str(gone.id)}
    assert await ids(viewer, "/api/products", type="hosting") == hosting
    active = {str(sold.id), str(later.id)}
    assert await ids(viewer, "/api/products", activeOnly="true") == active


async def test_subscriptions_are_narrowed(
    db: Database, viewer: httpx.AsyncClient
) -> None:
    ann, bob = rows.customer(), rows.customer()
    hosting, addon = rows.product(), rows.product(type="addon")
    of_ann = rows.subscription(ann, hosting)
    of_bob = rows.subscription(bob, addon, ServiceStatus.PENDING)
    await rows.add(db, ann, bob, hosting, addon, of_ann, of_bob)

    for params in (
        {"customerId": str(ann.id)},
        {"status": "active"},
        {"productType": "hosting"},
    ):
        assert await ids(viewer, "/api/subscriptions", **params) == {str(of_ann.id)}
    where = f"/api/customers/{bob.id}/subscriptions"
    assert await ids(viewer, where) == {str(of_bob.id)}


async def test_an_order_tells_what_paid_it_what_came_back_and_who_works_on_it(
    db: Database, viewer: httpx.AsyncClient
) -> None:
    buyer = rows.customer()
    site, addon = rows.product(), rows.product(type="addon")
    order, (line, extra) = rows.order(buyer, site, addon)
    root = rows.job(kind=JobKind.FULFIL_ORDER, subject_id=order.id, order_id=order.id)
    child = rows.job(order_id=order.id, parent_id=root.id, status=JobStatus.WAITING)
    line.job_id = child.id
    claim = PaymentClaim(
        tenant_id=MIGRAHOSTING,
        stripe_payment_intent_id="pi_1",
        order_id=order.id,
        amount=9998,
        currency="usd",
    )
    refund = PaymentRefund(
        tenant_id=MIGRAHOSTING,
        key=f"item:{extra.id}",
        order_id=order.id,
        order_item_id=extra.id,
        stripe_payment_intent_id="pi_1",
        amount=4999,
        currency="usd",
        status=RefundStatus.MADE,
        stripe_refund_id="re_1",
    )
    await rows.add(db, buyer, site, addon, order, line, extra)
    await rows.add(db, root, child, claim, refund)

    found = (await viewer.get(f"/api/orders/{order.id}")).json()

    assert (found["status"], found["state"]) == ("processing", "fulfilling")
    assert (found["total"], found["currency"]) == (99.98, "USD")
    (item,) = found["items"]
    assert (item["code"], item["jobId"]) == (site.code, str(child.id))
    assert [one["code"] for one in item["addons"]] == [addon.code]
    assert found["paidBy"]["stripePaymentIntentId"] == "pi_1"
    assert found["paidBy"]["amount"] == 99.98
    (refunded,) = found["refunds"]
    assert (refunded["amount"], refunded["status"]) == (49.99, "made")
    assert refunded["orderItemId"] == str(extra.id)
    told = [(job["id"], job["status"]) for job in found["jobs"]]
    assert told == [(str(root.id), "running"), (str(child.id), "pending")]


async def test_an_unpaid_order_is_pending(
    db: Database, viewer: httpx.AsyncClient
) -> None:
    buyer, site = rows.customer(), rows.product()
    order, items = rows.order(buyer, site)
    order.status = OrderStatus.AWAITING_PAYMENT
    await rows.add(db, buyer, site, order, *items)

    found = (await viewer.get(f"/api/orders/{order.id}")).json()

    assert found["status"] == "pending"
    assert found["paidBy"] is None
    assert found["refunds"] == []


async def test_alerts_are_listed_by_state(
    db: Database, viewer: httpx.AsyncClient
) -> None:
    alerts = [
        Alert(
            tenant_id=MIGRAHOSTING,
            cause="conflict",
            subject_id=uuid4(),
            message="look at it",
            status=status,
        )
        for status in (AlertStatus.OPEN, AlertStatus.RESOLVED)
    ]
    await rows.add(db, *alerts)

    assert await ids(viewer, "/api/alerts", status="open") == {str(alerts[0].id)}
    assert len(await ids(viewer, "/api/alerts")) == 2
