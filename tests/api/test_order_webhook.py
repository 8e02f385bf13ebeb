"""The order webhook accepts once, whatever comes how often, and stores no nonsense."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from sqlmodel import col, select

from api.settings import ApiSettings
from models.backups import BackupPlan
from models.base import utc_now
from models.customers import Customer
from models.database import Database
from models.jobs import Job
from models.orders import Order, OrderItem, OrderKey, OrderRepeat
from models.products import Product
from models.states import JobKind, JobStatus, OrderStatus, RepeatStatus, ServiceStatus
from models.websites import Website
from tests.api.conftest import PLATFORM_DOMAIN, client_of
from tests.api.ears import listening
from tests.api.shop import (
    BACKUPS,
    HOSTING,
    ORDER_CREATED,
    ORDER_SECRET,
    buy,
    count,
    nothing_stored,
    order,
    signature,
    stock,
)
from tests.api.web import running


@pytest.fixture(autouse=True)
async def shop(db: Database) -> None:
    await stock(db)


async def test_an_order_is_answered_with_all_that_it_will_become(
    api: httpx.AsyncClient, db: Database
) -> None:
    answer = await buy(api, order())
    assert answer.status_code == 202
    body = answer.json()
    assert body["received"] is True
    assert body["deduplicated"] is False
    assert [one["status"] for one in body["subscriptions"]] == ["pending", "pending"]
    assert [(one["type"], one["status"]) for one in body["tasks"]] == [
        ("website_provision", "pending"),
        ("backups_enable", "pending"),
    ]
    async with db.platform() as session:
        placed = await session.get_one(Order, UUID(body["orderId"]))
        assert (placed.total, placed.currency) == (4999 + 499, "USD")
        assert placed.status == OrderStatus.AWAITING_PAYMENT
        root = await session.get_one(Job, UUID(body["jobId"]))
        assert (root.kind, root.status) == (JobKind.FULFIL_ORDER, JobStatus.PENDING)
        assert root.subject_id == placed.id
        for task in body["tasks"]:
            child = await session.get_one(Job, UUID(task["id"]))
            assert (child.status, child.parent_id) == (JobStatus.WAITING, root.id)
        website = (await session.exec(select(Website))).one()
        assert website.domain == f"wp-growth-{website.id.hex[:6]}.{PLATFORM_DOMAIN}"
        assert (website.site_kind, website.php_version) == ("php", "8.4")
        plan = (await session.exec(select(BackupPlan))).one()
        assert (plan.website_id, plan.days) == (website.id, 30)
        hosting, addon = (
            await session.exec(select(OrderItem).order_by(col(OrderItem.position)))
        ).all()
        assert addon.needs_item_id == hosting.id


async def test_the_add_on_finds_its_website_wherever_it_stands(
    api: httpx.AsyncClient, db: Database
) -> None:
    answer = await buy(api, order(items=[BACKUPS, HOSTING]))
    assert [one["type"] for one in answer.json()["tasks"]] == [
        "backups_enable",
        "website_provision",
    ]


async def test_a_customer_is_one_whatever_the_case_of_the_address(
    api: httpx.AsyncClient, db: Database
) -> None:
    first = await buy(api, order(orderId="1"))
    second = await buy(
        api,
        order(
            orderId="2", customerEmail="Client@Example.COM", stripeCustomerId="cus_999"
        ),
    )
    assert first.json()["customerId"] == second.json()["customerId"]
    async with db.platform() as session:
        customer = (await session.exec(select(Customer))).one()
        assert customer.email == "client@example.com"
        assert customer.stripe_customer_id == "cus_123"
        later = await session.get_one(Order, UUID(second.json()["orderId"]))
        assert later.stripe_customer_id == "cus_999"


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("items[0].code", {"items": [{"code": "nothing"}]}),
        ("items[1].code", {"items": [HOSTING, {"code": "shared-starter"}]}),
        ("items[0].type", {"items": [{"code": "wp_growth", "type": "addon"}]}),
        ("items[0].code", {"items": [BACKUPS]}),
        ("items[2].code", {"items": [HOSTING, BACKUPS, BACKUPS]}),
        ("items[0].code", {"items": [{"type": "hosting"}]}),
        ("items[0].code", {"items": [{"code": "wp\x00growth"}]}),
        ("items", {"items": []}),
        ("items", {"items": [HOSTING] * 51}),
        ("items", {"items": "wp_growth"}),
        ("customerEmail", {"customerEmail": "client"}),
        ("customerEmail", {"customerEmail": None}),
        ("source", {"source": ""}),
        ("stripeCustomerId", {"stripeCustomerId": "123"}),
        ("stripePaymentIntentId", {"stripePaymentIntentId": "cs_1"}),
        ("domain", {"domain": "not a host"}),
        ("domain", {"domain": f"mine.{PLATFORM_DOMAIN}"}),
    ],
)
async def test_a_wrong_value_is_named_and_nothing_is_stored(
    api: httpx.AsyncClient, db: Database, field: str, changes: dict[str, Any]
) -> None:
    answer = await buy(api, order(**changes))
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["code"] == "VALIDATION_ERROR"
    assert answer.json()["error"]["details"]["field"] == field
    assert await nothing_stored(db)


async def test_a_product_that_is_not_sold_any_more_is_refused(
    api: httpx.AsyncClient, db: Database
) -> None:
    async with db.platform() as session:
        found = await session.exec(select(Product).where(Product.code == "wp_growth"))
        found.one().status = "retired"
        await session.commit()
    answer = await buy(api, order())
    assert answer.status_code == 422
    assert answer.json()["error"]["details"]["field"] == "items[0].code"


async def test_what_is_no_json_is_refused_as_such(
    api: httpx.AsyncClient, db: Database
) -> None:
    for raw in (b"{", b"\xff", b""):
        answer = await api.post(
            ORDER_CREATED,
            content=raw,
            headers={"X-Webhook-Signature": signature(raw)},
        )
        assert answer.status_code == 400
    assert await nothing_stored(db)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Webhook-Signature": ""},
        {"X-Webhook-Signature": "sha256=00"},
        {"X-Webhook-Signature": signature(b"another body")},
        {"X-Webhook-Signature": b"sha256=\xe9"},
        {"webhook-signature": "v1,AAAA"},
    ],
)
async def test_an_order_that_nobody_signed_is_refused_and_not_stored(
    api: httpx.AsyncClient, db: Database, headers: dict[str, str]
) -> None:
    raw = json.dumps(order()).encode()
    answer = await api.post(ORDER_CREATED, content=raw, headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "UNAUTHORIZED"
    assert await nothing_stored(db)


async def test_the_signature_is_of_the_exact_bytes(
    api: httpx.AsyncClient, db: Database
) -> None:
    raw = json.dumps(order()).encode()
    answer = await api.post(
        ORDER_CREATED,
        content=raw + b" ",
        headers={"X-Webhook-Signature": signature(raw)},
    )
    assert answer.status_code == 401


def standard(
    raw: bytes, *, message_id: str = "msg_1", at: float | None = None, key: bytes = b""
) -> dict[str, str]:
    """The three headers of Standard Webhooks."""
    timestamp = str(int(at if at is not None else time.time()))
    signed = f"{message_id}.{timestamp}.".encode() + raw
    digest = hmac.new(key or ORDER_SECRET.encode(), signed, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,AAAA v1,{base64.b64encode(digest).decode()}",
    }


async def test_a_replayed_standard_webhook_gets_the_first_answer(
    api: httpx.AsyncClient, db: Database
) -> None:
    raw = json.dumps(order()).encode()
    first, again, other = [
        await api.post(
            ORDER_CREATED, content=raw, headers=standard(raw, message_id=message_id)
        )
        for message_id in ("msg_1", "msg_1", "msg_2")
    ]
    assert first.status_code == again.status_code == other.status_code == 202
    assert again.json() == {**first.json(), "deduplicated": True}
    assert other.json()["orderId"] != first.json()["orderId"]
    assert await count(db, "order_repeats") == 0


# The later it is looked at, the younger is what comes from the future.
@pytest.mark.parametrize("off", [-310, 360])
async def test_an_old_standard_webhook_is_refused(
    api: httpx.AsyncClient, db: Database, off: int
) -> None:
    raw = json.dumps(order()).encode()
    headers = standard(raw, at=time.time() + off)
    answer = await api.post(ORDER_CREATED, content=raw, headers=headers)
    assert answer.status_code == 401
    assert await nothing_stored(db)


@pytest.mark.parametrize("timestamp", ["", "soon", "-1", "9" * 400, "9" * 5000])
async def test_a_time_that_is_none_is_refused(
    api: httpx.AsyncClient, db: Database, timestamp: str
) -> None:
    raw = json.dumps(order()).encode()
    headers = {**standard(raw), "webhook-timestamp": timestamp}
    answer = await api.post(ORDER_CREATED, content=raw, headers=headers)
    assert answer.status_code == 401
    assert await nothing_stored(db)


async def test_a_secret_of_the_standards_form_signs_with_its_decoded_key(
    settings: ApiSettings, db: Database
) -> None:
    key = b"0123456789abcdef0123456789abcdef"
    secret = f"whsec_{base64.b64encode(key).decode()}"
    told = ApiSettings(**{**dict(settings), "order_webhook_secret": secret})
    raw = json.dumps(order()).encode()
    async with running(told) as made, client_of(made) as api:
        good = await api.post(
            ORDER_CREATED, content=raw, headers=standard(raw, key=key)
        )
        bad = await api.post(ORDER_CREATED, content=raw, headers=standard(raw))
    assert (good.status_code, bad.status_code) == (202, 401)


async def test_the_first_present_key_tells_repeats(
    api: httpx.AsyncClient, db: Database
) -> None:
    for changes, headers in (
        ({"orderId": "o-1"}, {"idempotency_key": "key-1"}),
        ({"orderId": 77}, {}),
        ({"stripeCheckoutSessionId": "cs_test_1"}, {}),
        ({"stripePaymentIntentId": "pi_1"}, {}),
    ):
        first = await buy(api, order(**changes), **headers)
        again = await buy(api, order(**changes), **headers)
        assert first.status_code == 202, first.text
        assert again.json() == {**first.json(), "deduplicated": True}
    assert await count(db, "orders") == 4
    assert await count(db, "order_repeats") == 0


async def test_an_idempotency_key_with_another_body_is_refused(
    api: httpx.AsyncClient, db: Database
) -> None:
    await buy(api, order(), idempotency_key="key-1")
    answer = await buy(api, order(items=[HOSTING]), idempotency_key="key-1")
    assert answer.status_code == 422
    assert answer.json()["error"]["details"]["field"] == "Idempotency-Key"
    assert await count(db, "orders") == 1


async def test_the_same_content_is_answered_once_and_each_repeat_is_held(
    api: httpx.AsyncClient, db: Database
) -> None:
    first = await buy(api, order())
    answers = [
        await buy(api, order(items=[BACKUPS, HOSTING])),
        await buy(api, order(customerEmail="CLIENT@example.com")),
    ]
    for answer in answers:
        assert answer.json() == {**first.json(), "deduplicated": True}
    other = await buy(api, order(items=[HOSTING]))
    assert other.json()["deduplicated"] is False
    async with db.platform() as session:
        held = (await session.exec(select(OrderRepeat))).all()
    assert [one.status for one in held] == [RepeatStatus.HELD] * 2
    assert {str(one.first_order_id) for one in held} == {first.json()["orderId"]}


async def test_a_day_later_the_same_content_is_another_order(
    api: httpx.AsyncClient, db: Database
) -> None:
    first = await buy(api, order())
    async with db.platform() as session:
        key = (await session.exec(select(OrderKey))).one()
        key.expires_at = utc_now() - timedelta(seconds=1)
        await session.commit()
    second = await buy(api, order())
    third = await buy(api, order())
    assert second.json()["deduplicated"] is False
    assert second.json()["orderId"] != first.json()["orderId"]
    assert third.json() == {**second.json(), "deduplicated": True}


@pytest.fixture
async def two(settings: ApiSettings, db: Database) -> AsyncIterator[list[Any]]:
    """Clients of two web processes' applications, each with its own pool."""
    async with AsyncExitStack() as stack:
        clients = []
        for _ in range(2):
            made = await stack.enter_async_context(running(settings))
            clients.append(await stack.enter_async_context(client_of(made)))
        yield clients


@pytest.mark.parametrize("keyed", [True, False])
async def test_a_hundred_copies_at_two_processes_make_one_order(
    two: list[httpx.AsyncClient], db: Database, keyed: bool
) -> None:
    headers = {"idempotency_key": "one"} if keyed else {}
    answers = await asyncio.gather(
        *(buy(two[number % 2], order(), **headers) for number in range(100))
    )
    assert {answer.status_code for answer in answers} == {202}
    bodies = [answer.json() for answer in answers]
    assert sum(not body.pop("deduplicated") for body in bodies) == 1
    assert all(body == bodies[0] for body in bodies)
    assert await count(db, "orders") == 1
    assert await count(db, "jobs") == 3
    assert await count(db, "order_repeats") == (0 if keyed else 99)


async def test_while_temporal_is_away_the_answer_comes_at_once(
    api: httpx.AsyncClient, db: Database
) -> None:
    taken = []
    for number in range(4):
        began = time.monotonic()
        answer = await buy(api, order(orderId=f"timed-{number}"))
        taken.append(time.monotonic() - began)
        assert answer.status_code == 202
    assert min(taken) < 0.5  # the others may have been disturbed


async def test_backups_can_be_bought_for_a_website_that_is_there(
    api: httpx.AsyncClient, db: Database
) -> None:
    await buy(api, order(items=[HOSTING]))
    assert (await buy(api, order(items=[BACKUPS]))).status_code == 422
    async with db.platform() as session:
        website = (await session.exec(select(Website))).one()
        website.status = ServiceStatus.ACTIVE
        await session.commit()
    answer = await buy(api, order(items=[BACKUPS]))
    assert answer.status_code == 202, answer.text
    async with db.platform() as session:
        plan = (await session.exec(select(BackupPlan))).one()
        assert plan.website_id == website.id
    again = await buy(api, order(items=[BACKUPS], orderId="again"))
    assert again.status_code == 422


async def test_a_website_whose_plan_has_ended_may_have_a_new_one(
    api: httpx.AsyncClient, db: Database
) -> None:
    await buy(api, order())
    async with db.platform() as session:
        (await session.exec(select(Website))).one().status = ServiceStatus.ACTIVE
        (await session.exec(select(BackupPlan))).one().status = ServiceStatus.TERMINATED
        await session.commit()
    answer = await buy(api, order(items=[BACKUPS]))
    assert answer.status_code == 202, answer.text


async def _live(db: Database) -> None:
    """Every website is live now."""
    async with db.platform() as session:
        for website in (await session.exec(select(Website))).all():
            website.status = ServiceStatus.ACTIVE
        await session.commit()


async def test_a_domain_that_has_a_website_is_refused(
    api: httpx.AsyncClient, db: Database
) -> None:
    first = await buy(api, order(domain="Shop.Example.com", orderId="1"))
    assert first.status_code == 202
    async with db.platform() as session:
        assert (await session.exec(select(Website))).one().domain == "shop.example.com"
    await _live(db)
    second = await buy(api, order(domain="shop.example.com", orderId="2"))
    assert second.status_code == 422
    assert second.json()["error"]["details"]["field"] == "domain"


async def test_an_order_that_nobody_paid_holds_no_domain(
    api: httpx.AsyncClient,
) -> None:
    for number in ("1", "2"):
        body = order(domain="shop.example.com", orderId=number)
        assert (await buy(api, body)).status_code == 202


@pytest.mark.parametrize("name", ["login.example.com", "example.com"])
async def test_a_name_beside_another_customers_is_refused(
    api: httpx.AsyncClient, db: Database, name: str
) -> None:
    theirs = "example.com" if name != "example.com" else "login.example.com"
    await buy(api, order(domain=theirs, orderId="1"))
    await _live(db)
    body = order(domain=name, orderId="2", customerEmail="other@example.com")
    refused = await buy(api, body)
    assert refused.status_code == 422
    assert refused.json()["error"]["details"]["field"] == "domain"


async def test_the_worker_is_woken_when_the_order_is_there(
    api: httpx.AsyncClient, db: Database, app_url: str
) -> None:
    async with listening(app_url) as heard:
        await buy(api, order())
        assert await heard() == ["start"]


async def test_what_fails_half_way_leaves_nothing_and_comes_again(
    api: httpx.AsyncClient, db: Database, owner_url: str
) -> None:
    """The last rows of the statement are refused, by whatever."""
    refuse = (
        "create function refuse() returns trigger language plpgsql as $$ begin"
        " raise exception 'no' using errcode = 'disk_full'; end $$;"
        "create trigger refuse before insert on jobs for each row"
        " when (new.kind = 'backups_enable') execute function refuse()"
    )
    async with await psycopg.AsyncConnection.connect(
        owner_url, autocommit=True
    ) as owner:
        await owner.execute(refuse)
        try:
            refused = await buy(api, order(orderId="1"))
        finally:
            await owner.execute("drop function refuse cascade")

    assert refused.status_code == 503
    assert await nothing_stored(db)
    assert await count(db, "order_keys") + await count(db, "customers") == 0
    again = await buy(api, order(orderId="1"))
    assert (again.status_code, again.json()["deduplicated"]) == (202, False)


async def test_an_accepted_order_waits_for_the_disk(
    api: httpx.AsyncClient, owner_url: str
) -> None:
    tell = (
        "create table told as select ''::text as how;"
        "create function tell() returns trigger language plpgsql security definer as $$"
        " begin update told set how = current_setting('synchronous_commit');"
        " return new; end $$;"
        "create trigger tell before insert on orders for each row"
        " execute function tell()"
    )
    async with await psycopg.AsyncConnection.connect(
        owner_url, autocommit=True
    ) as owner:
        await owner.execute(tell)
        try:
            await buy(api, order())
            found = await (await owner.execute("select how from told")).fetchone()
        finally:
            await owner.execute("drop function tell cascade; drop table told")

    assert found == ("on",)


async def test_of_two_add_ons_at_once_one_gets_the_website(
    two: list[httpx.AsyncClient], db: Database
) -> None:
    for round_ in range(5):
        body = {"customerEmail": f"c{round_}@example.com", "stripeCustomerId": None}
        await buy(two[0], order(items=[HOSTING], orderId=f"site {round_}", **body))
        await _live(db)
        add_ons = [
            order(items=[BACKUPS], orderId=f"{round_} {number}", **body)
            for number in range(2)
        ]
        answers = await asyncio.gather(
            *(buy(one, add_on) for one, add_on in zip(two, add_ons, strict=True))
        )
        assert sorted(one.status_code for one in answers) == [202, 422]
    assert await count(db, "backup_plans") == 5


async def test_a_price_that_has_changed_is_the_next_orders(
    two: list[httpx.AsyncClient], db: Database
) -> None:
    """Whatever a process has read for an order before."""
    for number, price in enumerate((4999, 1999, 2999)):
        async with db.platform() as session:
            asked = select(Product).where(Product.code == "wp_growth")
            product = (await session.exec(asked)).one()
            offer = {"cycle": "monthly", "price": price, "currency": "USD"}
            product.billing_cycles = [offer]
            await session.commit()
        for client in two:
            body = order(items=[HOSTING], orderId=f"{number} {two.index(client)}")
            answer = await buy(client, body)
            async with db.platform() as session:
                placed = await session.get_one(Order, UUID(answer.json()["orderId"]))
            assert placed.total == price

    async with db.platform() as session:
        (await session.exec(asked)).one().status = "retired"
        await session.commit()
    refused = await buy(two[0], order(items=[HOSTING], orderId="late"))
    assert refused.status_code == 422
