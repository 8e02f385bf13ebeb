"""Mails that come back are noted on the mail and on its customer, and told once."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as some
from pydantic import SecretStr
from simulators import mail
from simulators.mail.bounces import signed
from sqlmodel import select

from activities.gate import OpenGate
from activities.providers.smtp import Mailer
from api.settings import ApiSettings
from models.alerts import Alert
from models.bounces import bounce_of
from models.customers import Customer
from models.database import Database
from models.orders import Order
from models.outbox import OutboxMessage
from models.queries.outbox import tell_customer
from models.states import AlertStatus, OutboxStatus
from models.users import Role
from tests.api import rows
from tests.api.audited import told
from tests.api.conftest import add_user, client_of, token_of
from tests.api.web import running
from tests.workers.conftest import until
from workers import bounces
from workers.mails import Mails
from workers.relay import Relay

SECRET = "shared-with-the-mail-server"
DELAYED = b"""To: bounces+%s@bounces.test
Content-Type: multipart/report; report-type=delivery-status; boundary=x

--x
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.test

Final-Recipient: rfc822; a@b.test
Action: %s
Status: %s

--x--
"""


@pytest.fixture
async def app(settings: ApiSettings, db: Database) -> AsyncIterator[FastAPI]:
    """A web process that shares a secret with the mail server."""
    shared = settings.model_copy(update={"bounce_webhook_secret": SecretStr(SECRET)})
    async with running(shared) as made:
        yield made


@pytest.fixture
async def catcher(tmp_path: Path) -> AsyncIterator[mail.Mail]:
    sim = mail.build({"port": 0, "smtp_port": 0}, tmp_path)
    await sim.start()
    yield sim
    await sim.stop()


@pytest.fixture
async def relay(db: Database, catcher: mail.Mail) -> AsyncIterator[Relay]:
    mails = Mails(
        db,
        Mailer("127.0.0.1", catcher.smtp_port, sender="us@x.test", gate=OpenGate()),
        operator="operator@example.net",
        public_url="http://panel.test",
        domain="mpanel.test",
        bounce_domain="bounces.test",
    )
    made = Relay(db, {"mail": mails})
    yield made
    await made.aclose()


async def welcomed(db: Database) -> Order:
    """A customer who is being welcomed."""
    buyer, product = rows.customer(email="ada@example.com"), rows.product()
    order, items = rows.order(buyer, product)
    line = rows.job(order_id=order.id)
    items[0].job_id = line.id
    await rows.add(db, buyer, product, order, line, *items)
    async with db.platform() as session:
        await tell_customer(session, order, "welcome")
        await session.commit()
    return order


async def sent(relay: Relay) -> None:
    await relay.round("mail")
    await until(lambda: not relay._trying["mail"])


async def mail_of(db: Database, order: Order) -> OutboxMessage:
    async with db.platform() as session:
        query = select(OutboxMessage).where(OutboxMessage.order_id == order.id)
        return (await session.exec(query)).one()


async def unreachable(db: Database, order: Order) -> bool:
    async with db.platform() as session:
        customer = await session.get_one(Customer, order.customer_id)
    return customer.mail_undeliverable


async def alerts(db: Database) -> list[Alert]:
    async with db.platform() as session:
        return list((await session.exec(select(Alert))).all())


async def hand_in(api: httpx.AsyncClient, raw: bytes, secret: str = SECRET) -> object:
    answer = await api.post(
        "/api/mail/bounces", content=raw, headers=signed(secret, "dsn-1", raw)
    )
    return answer.json().get("recorded", answer.status_code)


async def test_an_address_that_is_refused_at_once_is_noted(
    db: Database, catcher: mail.Mail, relay: Relay
) -> None:
    catcher.bounces.set({"ada@example.com": "refused"})
    order = await welcomed(db)

    await sent(relay)
    await sent(relay)

    message = await mail_of(db, order)
    assert (message.status, message.bounce_code) == (OutboxStatus.BOUNCED, "550 5.1.1")
    assert message.attempts == 1
    assert await unreachable(db, order)
    [alert] = await alerts(db)
    assert (alert.cause, alert.subject_id) == ("mail_bounced", order.customer_id)
    assert "welcome" in alert.message
    assert "ada@" not in alert.message
    assert catcher.store.each("message") == []


async def test_a_mail_that_is_sent_back_later_is_noted_once(
    app: FastAPI,
    api: httpx.AsyncClient,
    db: Database,
    catcher: mail.Mail,
    relay: Relay,
) -> None:
    catcher.bounces.set({"ada@example.com": "returned"})
    order = await welcomed(db)
    await sent(relay)
    assert (await mail_of(db, order)).status == OutboxStatus.SENT
    [raw] = catcher.bounces.kept()

    assert await hand_in(api, raw.encode()) is True
    assert await hand_in(api, raw.encode()) is False

    message = await mail_of(db, order)
    assert (message.status, message.bounce_code) == (OutboxStatus.BOUNCED, "5.1.1")
    assert "no such user" in (message.last_error or "")
    assert "ada@" not in (message.last_error or "")
    assert await unreachable(db, order)
    assert len(await alerts(db)) == 1
    client = client_of(app)
    token = await token_of(db, await add_user(db, Role.OPERATOR))
    client.headers["Authorization"] = f"Bearer {token}"
    log = (await client.get("/api/mails", params={"orderId": str(order.id)})).json()
    [line] = log["items"]
    assert (line["to"], line["letter"]) == ("ada@example.com", "welcome")
    assert (line["status"], line["bounceCode"]) == ("bounced", "5.1.1")
    shown = (await client.get(f"/api/customers/{order.customer_id}")).json()
    assert shown["mailUndeliverable"] is True
    view = (await client.get(f"/api/orders/{order.id}")).json()
    assert view["mailUndeliverable"] is True
    await client.aclose()


async def told_more(db: Database, relay: Relay, order: Order) -> OutboxMessage:
    """A second letter to the customer, which the mail server has taken."""
    async with db.platform() as session:
        await tell_customer(session, order, "order_ready")
        await session.commit()
    await sent(relay)
    async with db.platform() as session:
        query = select(OutboxMessage).where(OutboxMessage.template == "order_ready")
        return (await session.exec(query)).one()


async def age(db: Database, by: timedelta) -> None:
    """As if every mail had gone out, and come back, so much earlier."""
    async with db.platform() as session:
        for one in (await session.exec(select(OutboxMessage))).all():
            one.sent_at = one.sent_at and one.sent_at - by
            one.bounced_at = one.bounced_at and one.bounced_at - by
        await session.commit()


async def test_a_customer_is_reachable_again_once_a_later_mail_has_stayed(
    db: Database, catcher: mail.Mail, relay: Relay
) -> None:
    catcher.bounces.set({"ada@example.com": "refused"})
    order = await welcomed(db)
    await sent(relay)
    catcher.bounces.set({})
    await told_more(db, relay, order)

    await bounces.end_for_reached(db)
    assert await unreachable(db, order), "it may still come back"

    await age(db, bounces.STAYED)
    await bounces.end_for_reached(db)
    assert not await unreachable(db, order)
    [alert] = await alerts(db)
    assert alert.status == AlertStatus.RESOLVED


async def test_a_mail_that_stayed_before_one_came_back_proves_nothing(
    api: httpx.AsyncClient, db: Database, catcher: mail.Mail, relay: Relay
) -> None:
    order = await welcomed(db)
    await sent(relay)
    catcher.bounces.set({"ada@example.com": "returned"})
    await told_more(db, relay, order)
    [raw] = catcher.bounces.kept()
    assert await hand_in(api, raw.encode()) is True

    await age(db, bounces.STAYED)
    await bounces.end_for_reached(db)

    assert await unreachable(db, order)
    [alert] = await alerts(db)
    assert alert.status == AlertStatus.OPEN


async def test_a_bounce_of_a_former_address_is_not_held_against_the_present_one(
    api: httpx.AsyncClient, db: Database, catcher: mail.Mail, relay: Relay
) -> None:
    catcher.bounces.set({"ada@example.com": "returned"})
    order = await welcomed(db)
    await sent(relay)
    async with db.platform() as session:
        customer = await session.get_one(Customer, order.customer_id)
        customer.email = "ada@example.org"
        await session.commit()

    [raw] = catcher.bounces.kept()
    assert await hand_in(api, raw.encode()) is True

    assert not await unreachable(db, order)
    assert await alerts(db) == []


async def test_only_the_mail_server_hands_bounces_in(
    api: httpx.AsyncClient, db: Database
) -> None:
    order = await welcomed(db)
    message = await mail_of(db, order)
    raw = DELAYED % (message.id.hex.encode(), b"failed", b"5.1.1")

    assert await hand_in(api, raw, "somebody else's secret") == 401
    unsigned = await api.post("/api/mail/bounces", content=raw)
    assert unsigned.status_code == 401
    assert not await unreachable(db, order)
    refused = await told(db, "webhook.refused")
    assert [one.entity_id for one in refused] == ["bounces", "bounces"]
    assert refused[1].reason == unsigned.json()["error"]["message"]


@pytest.mark.parametrize(
    ("action", "status", "noted"),
    [("delayed", "4.4.1", False), ("failed", "4.4.7", True), ("relayed", "2.0", False)],
)
async def test_only_a_final_failure_counts(
    api: httpx.AsyncClient, db: Database, action: str, status: str, noted: bool
) -> None:
    order = await welcomed(db)
    message = await mail_of(db, order)
    raw = DELAYED % (message.id.hex.encode(), action.encode(), status.encode())

    assert await hand_in(api, raw) is noted
    assert await unreachable(db, order) is noted


async def test_a_bounce_of_nothing_of_ours_is_let_go(api: httpx.AsyncClient) -> None:
    assert await hand_in(api, b"Subject: on holiday\n\nBack on Monday\n") is False
    assert (
        await hand_in(api, DELAYED % (uuid4().hex.encode(), b"failed", b"5")) is False
    )
    assert await hand_in(api, b"\x00\xff") is False


async def test_without_a_secret_nobody_is_believed(
    settings: ApiSettings, db: Database
) -> None:
    async with running(settings) as made, client_of(made) as client:
        assert await hand_in(client, b"To: x\n\n") == 401


async def test_mails_are_shown_to_operators_of_their_tenant(
    app: FastAPI, db: Database
) -> None:
    await rows.add(db, rows.other_tenant())
    await welcomed(db)

    async def total(role: Role, tenant_id: UUID | None = None) -> object:
        given = {"tenant_id": tenant_id} if tenant_id else {}
        token = await token_of(db, await add_user(db, role, **given))
        async with client_of(app) as client:
            client.headers["Authorization"] = f"Bearer {token}"
            answer = await client.get("/api/mails")
        return answer.json().get("total", answer.status_code)

    assert await total(Role.OPERATOR) == 1
    assert await total(Role.OPERATOR, rows.OTHER) == 0
    assert await total(Role.VIEWER) == 403


@given(some.binary(max_size=2000))
def test_whatever_is_written_to_that_address_breaks_nothing(raw: bytes) -> None:
    bounce_of(raw)
    head = b"To: bounces+%s@b.test\nContent-Type: multipart/report; boundary=x\n\n--x\n"
    bounce_of(head % uuid4().hex.encode() + raw)
