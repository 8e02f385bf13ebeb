"""A refused webhook is told in the audit log, and cannot flood it."""

import asyncio

import httpx
import pytest
from sqlalchemy.exc import OperationalError

from api.refusals import Refusals
from models.database import Database
from models.errors import Unauthenticated
from models.tenants import MIGRAHOSTING
from tests.api.audited import told
from tests.api.shop import ORDER_CREATED, buy, order, stock
from tests.api.test_stripe_webhook import ROUTE as STRIPE
from tests.conftest import free_port


async def refuse(refusals: Refusals, address: str, cause: str = "unsigned") -> None:
    with pytest.raises(Unauthenticated):
        async with refusals.of("order-created", address):
            raise Unauthenticated(cause)


@pytest.mark.parametrize(
    ("route", "hook"), [(ORDER_CREATED, "order-created"), (STRIPE, "stripe")]
)
async def test_a_signature_that_does_not_fit_is_told(
    api: httpx.AsyncClient, db: Database, route: str, hook: str
) -> None:
    headers = {"X-Webhook-Signature": "sha256=0", "Stripe-Signature": "t=1,v1=0"}

    answer = await api.post(route, content=b'{"canary": 1}', headers=headers)

    assert answer.status_code == 401
    [event] = await told(db)
    assert (event.action, event.entity, event.entity_id) == (
        "webhook.refused",
        "webhook",
        hook,
    )
    assert (event.tenant_id, event.actor_kind) == (MIGRAHOSTING, "anonymous")
    assert (event.actor, event.details) == ("127.0.0.1", {"count": 1})
    assert event.reason == answer.json()["error"]["message"]
    assert "canary" not in event.model_dump_json()


async def test_an_accepted_order_writes_nothing(
    api: httpx.AsyncClient, db: Database
) -> None:
    await stock(db)

    assert (await buy(api, order())).status_code == 202

    assert await told(db) == []


async def test_a_flood_from_one_address_is_two_lines(db: Database) -> None:
    refusals = Refusals(db, per=600)

    await asyncio.gather(*(refuse(refusals, "192.0.2.1") for _ in range(500)))
    assert [one.details for one in await told(db)] == [{"count": 1}]
    await refusals.close()

    assert [one.details for one in await told(db)] == [{"count": 1}, {"count": 499}]


async def test_the_rest_is_told_when_the_minute_is_over(db: Database) -> None:
    refusals = Refusals(db, per=0.2)
    at_once = [asyncio.create_task(refuse(refusals, "192.0.2.1")) for _ in range(3)]
    await asyncio.sleep(0)  # all are counted, and none is told yet

    # The end of its minute is a task that nobody else can wait for.
    assert refusals._end is not None
    await asyncio.gather(refusals._end, *at_once)
    await refuse(refusals, "192.0.2.1")
    await refusals.close()
    *minute, later = [one.details["count"] for one in await told(db)]
    assert (sorted(minute), later) == ([1, 2], 1)


async def test_each_address_and_cause_is_told_apart_up_to_a_bound(db: Database) -> None:
    refusals = Refusals(db, per=600, most=3)
    for address in ("192.0.2.1", "192.0.2.2"):
        await refuse(refusals, address)
    await refuse(refusals, "192.0.2.1", "stale")

    for number in range(50):
        await refuse(refusals, f"198.51.100.{number}")
    await refusals.close()

    counts = [(one.actor, one.reason, one.details["count"]) for one in await told(db)]
    assert counts == [
        ("192.0.2.1", "unsigned", 1),
        ("192.0.2.2", "unsigned", 1),
        ("192.0.2.1", "stale", 1),
        ("many addresses", "unsigned", 1),
        ("many addresses", "unsigned", 49),
    ]


async def test_a_database_that_is_away_changes_nothing_of_the_refusal() -> None:
    nowhere = Database(f"postgresql://nobody@127.0.0.1:{free_port()}/none")
    with pytest.raises(OperationalError):
        async with nowhere.platform() as session:
            await session.connection()

    await refuse(Refusals(nowhere, per=600), "192.0.2.1")
