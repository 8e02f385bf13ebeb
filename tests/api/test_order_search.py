"""Orders are found by whatever somebody on the telephone can read out."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import httpx
import pytest

from models.database import Database
from models.orders import Order
from models.payments import PaymentClaim, PaymentRefund
from models.states import OrderStatus, RefundStatus
from models.tenants import MIGRAHOSTING
from models.users import Role
from tests.api import rows
from tests.api.conftest import LogIn

ADA_ORDER = UUID("abcdef01-0000-4000-8000-000000000001")
BOB_ORDER = UUID("12345678-0000-4000-8000-000000000002")


@pytest.fixture
async def ada(db: Database) -> Order:
    """Ada's order, beside Bob's."""
    made: list[Order] = []
    for id, name, status in (
        (ADA_ORDER, "ada", OrderStatus.COMPLETED),
        (BOB_ORDER, "bob", OrderStatus.AWAITING_PAYMENT),
    ):
        buyer, bought = rows.customer(email=f"{name}@{name}.example"), rows.product()
        owned = rows.subscription(buyer, bought)
        website = rows.website(owned, domain=f"{name}-shop.example")
        order, (item,) = rows.order(buyer, bought)
        order.id = item.order_id = id
        order.status = status
        order.source = f"{name}.partner"
        order.stripe_customer_id = f"cus_{name}"
        order.stripe_checkout_session_id = f"cs_{name}"
        order.created_at = datetime(2026, 3, 1 + len(made), 12, tzinfo=UTC)
        item.subscription_id = owned.id
        claim = PaymentClaim(
            tenant_id=MIGRAHOSTING,
            stripe_payment_intent_id=f"pi_{name}",
            order_id=id,
            amount=4999,
            currency="usd",
        )
        refund = PaymentRefund(
            tenant_id=MIGRAHOSTING,
            key=f"order:{id}",
            order_id=id,
            stripe_payment_intent_id=f"pi_{name}",
            amount=4999,
            currency="usd",
            status=RefundStatus.MADE,
            stripe_refund_id=f"re_{name}",
        )
        await rows.add(db, buyer, bought, owned, website, order, item, claim, refund)
        made.append(order)
    return made[0]


@pytest.fixture
async def viewer(log_in: LogIn) -> httpx.AsyncClient:
    return await log_in(Role.VIEWER)


async def found(viewer: httpx.AsyncClient, **params: str) -> set[str]:
    response = await viewer.get("/api/orders", params=params)
    assert response.status_code == 200, response.text
    listed = response.json()
    assert len(listed["items"]) == listed["total"]
    return {one["id"] for one in listed["items"]}


@pytest.mark.parametrize(
    "search",
    [
        str(ADA_ORDER),
        ADA_ORDER.hex,
        "ABCDEF01-00",
        "ada@ada.example",
        "ADA@",
        "ada-shop.example",
        "ada-sh",
        "cus_ada",
        "cs_ada",
        "pi_ada",
        "re_ada",
        "  ada@ada.example ",
    ],
)
async def test_an_order_is_found_by(
    ada: Order, viewer: httpx.AsyncClient, search: str
) -> None:
    assert await found(viewer, search=search) == {str(ada.id)}


@pytest.mark.parametrize(
    "search", ["shop.example", "%ada", "ada_", "pi_ad", "zzz", "---"]
)
async def test_nothing_else_is_found(
    ada: Order, viewer: httpx.AsyncClient, search: str
) -> None:
    assert await found(viewer, search=search) == set()


async def test_orders_are_narrowed(ada: Order, viewer: httpx.AsyncClient) -> None:
    for params in (
        {"status": "completed"},
        {"customerId": str(ada.customer_id)},
        {"source": "ada.partner"},
        {"createdTo": "2026-03-02"},
        {"createdFrom": "2026-02-01", "createdTo": "2026-03-01T12:00:01Z"},
        {"search": "ada", "status": "completed"},
    ):
        assert await found(viewer, **params) == {str(ada.id)}, params
    assert await found(viewer, search="ada", status="pending") == set()
    assert await found(viewer, createdFrom="2026-03-03") == set()


async def test_the_newest_comes_first_with_its_customers_address(
    ada: Order, viewer: httpx.AsyncClient
) -> None:
    listed = (await viewer.get("/api/orders", params={"pageSize": "1"})).json()

    assert listed["total"] == 2
    (first,) = listed["items"]
    assert (first["id"], first["email"]) == (str(BOB_ORDER), "bob@bob.example")
    assert (first["status"], first["state"]) == ("pending", "awaiting_payment")
    assert (first["total"], first["currency"]) == (49.99, "USD")


@pytest.mark.parametrize(
    "params",
    [
        {"search": "ab"},
        {"search": "ab    "},
        {"search": "     "},
        {"search": "x" * 256},
        {"search": "a\0b"},
        {"status": "nothing"},
        {"createdFrom": "yesterday"},
        {"customerId": "1"},
    ],
)
async def test_what_cannot_be_searched_for_is_refused(
    viewer: httpx.AsyncClient, params: dict[str, str]
) -> None:
    answer = await viewer.get("/api/orders", params=params)

    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "VALIDATION_ERROR"


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31"])
async def test_the_ends_of_time_are_only_dates(
    ada: Order, viewer: httpx.AsyncClient, moment: str
) -> None:
    assert len(await found(viewer, createdFrom=moment)) in (0, 2)


async def test_another_tenant_finds_nothing(
    db: Database, ada: Order, log_in: LogIn
) -> None:
    await rows.add(db, rows.other_tenant())
    stranger = await log_in(Role.ADMIN, tenant_id=rows.OTHER)

    assert await found(stranger) == set()
    assert await found(stranger, search=str(ada.id)) == set()
    everybody = await log_in(Role.SUPER_ADMIN)
    assert await found(everybody, search="ada") == {str(ada.id)}
    assert await found(everybody) == {str(ADA_ORDER), str(BOB_ORDER)}


async def test_the_total_is_counted_a_thousand_rows_ahead(
    db: Database, viewer: httpx.AsyncClient
) -> None:
    await rows.add(db, *(rows.customer(email=f"{uuid4()}@x.example") for _ in "ab"))
    async with db.platform() as session:
        connection = await session.connection()
        await connection.exec_driver_sql(
            "insert into customers (id, created_at, tenant_id, email, name, phone,"
            " address, status) select gen_random_uuid(), now(), tenant_id, g || email,"
            " '', '', '{}', 'active' from customers, generate_series(1, 600) g"
        )
        await session.commit()

    async def totals(page: int) -> tuple[int, int]:
        params = {"page": str(page), "pageSize": "100"}
        listed = (await viewer.get("/api/customers", params=params)).json()
        return listed["total"], len(listed["items"])

    assert await totals(1) == (1100, 100)
    assert await totals(2) == (1200, 100)
    assert await totals(13) == (1202, 2)
