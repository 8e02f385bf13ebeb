"""What the outbox holds arrives: once if all goes well, never less than once."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from simulators import mail
from simulators.faults import Script
from sqlmodel import col, delete, select
from standardwebhooks import Webhook
from starlette.responses import RedirectResponse, Response

from activities.errors import ProviderDown
from activities.gate import OpenGate
from activities.providers.smtp import Mailer
from models.alerts import Alert
from models.base import utc_now
from models.database import Database
from models.outbox import OutboxMessage
from models.queries import alerts
from models.queries.outbox import OPERATOR, tell
from models.states import AlertStatus, OutboxStatus
from models.tenants import MIGRAHOSTING
from tests.conftest import free_port
from tests.workers.conftest import Answer, Receiver, ok, receiving, until
from workers.mails import Mails, PostOffice
from workers.relay import SCHEDULE, Relay
from workers.webhooks import DISABLED, OperatorHook

SECRET = f"whsec_{base64.b64encode(bytes(range(32))).decode()}"
FACTS = {"orderId": "o-1", "status": "completed"}


async def tell_hook(db: Database, *, recipient: str = OPERATOR) -> UUID:
    subject_id = uuid4()
    async with db.platform() as session:
        await tell(
            session,
            tenant_id=MIGRAHOSTING,
            channel="webhook",
            recipient=recipient,
            template="order.completed",
            subject_id=subject_id,
            facts=FACTS,
        )
        await session.commit()
    return (await of(db, subject_id)).id


async def tell_mail(db: Database, to: str) -> UUID:
    subject_id = uuid4()
    async with db.platform() as session:
        await tell(
            session,
            tenant_id=MIGRAHOSTING,
            channel="mail",
            recipient=to,
            template="order_cancelled",
            subject_id=subject_id,
            facts={"short": "abc"},
        )
        await session.commit()
    return (await of(db, subject_id)).id


async def of(db: Database, subject_id: UUID) -> OutboxMessage:
    async with db.platform() as session:
        found = await session.exec(
            select(OutboxMessage).where(OutboxMessage.subject_id == subject_id)
        )
        return found.one()


async def row(db: Database, message_id: UUID) -> OutboxMessage:
    async with db.platform() as session:
        return await session.get_one(OutboxMessage, message_id)


async def due_now(db: Database, message_id: UUID) -> None:
    """Its wait is over."""
    async with db.platform() as session:
        message = await session.get_one(OutboxMessage, message_id)
        message.next_at = utc_now()
        await session.commit()


async def settled(relay: Relay, channel: str) -> None:
    """One round, and the end of all that it began."""
    await relay.round(channel)
    await until(lambda: not relay._trying[channel])


def hook(db: Database, url: str) -> Relay:
    return Relay(db, {"webhook": OperatorHook(db, url=url, secret=SECRET)})


def post(db: Database, mailer: PostOffice, *, bounces: str | None = None) -> Relay:
    mails = Mails(
        db,
        mailer,
        operator="operator@example.net",
        public_url="http://panel.test/",
        domain="mpanel.test",
        bounce_domain=bounces,
    )
    return Relay(db, {"mail": mails})


def mailer_to(port: int, timeout: float = 5) -> Mailer:
    return Mailer(
        "127.0.0.1", port, sender="hi@mpanel.test", gate=OpenGate(), timeout=timeout
    )


@asynccontextmanager
async def hooked(
    db: Database, answer: Answer = ok
) -> AsyncIterator[tuple[Relay, Receiver]]:
    async with receiving(answer) as receiver:
        relay = hook(db, receiver.url)
        yield relay, receiver
        await relay.aclose()


async def test_an_event_is_signed_as_others_verify_it(db: Database) -> None:
    async with hooked(db) as (relay, receiver):
        message_id = await tell_hook(db)
        await settled(relay, "webhook")

    [got] = receiver.got
    told = Webhook(SECRET).verify(got.body, got.headers)
    assert (told["type"], told["data"]) == ("order.completed", FACTS)
    assert got.headers["webhook-id"] == str(message_id)
    plain = hmac.new(SECRET.encode(), got.body, hashlib.sha256).hexdigest()
    assert got.headers["x-webhook-signature"] == f"sha256={plain}"
    assert len(got.body) < 20_000
    assert (await row(db, message_id)).status == OutboxStatus.SENT


@pytest.mark.parametrize("status", [500, 404, 302, 199 + 101])
async def test_whatever_is_not_2xx_is_tried_again_under_the_same_id(
    db: Database, status: int
) -> None:
    async def answer(nth: int) -> Response:
        if nth > 1:
            return Response()
        if status == 302:
            return RedirectResponse("/hook", 302)
        return Response(status_code=status)

    async with hooked(db, answer) as (relay, receiver):
        message_id = await tell_hook(db)
        began = utc_now()
        await settled(relay, "webhook")
        ended = utc_now()
        again = await row(db, message_id)
        await settled(relay, "webhook")
        assert len(receiver.got) == 1, "before its time, or by a redirect"
        await due_now(db, message_id)
        await settled(relay, "webhook")

    assert again.status == OutboxStatus.QUEUED
    assert (again.next_at - began).total_seconds() >= SCHEDULE[0] * 0.8
    assert (again.next_at - ended).total_seconds() <= SCHEDULE[0] * 1.2
    first, second = receiver.got
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert (await row(db, message_id)).status == OutboxStatus.SENT


async def test_a_receiver_that_asks_for_a_rest_has_it_for_every_message(
    db: Database,
) -> None:
    async def busy(_: int) -> Response:
        return Response(status_code=429, headers={"Retry-After": "900"})

    async with hooked(db, busy) as (relay, receiver):
        first = await tell_hook(db)
        await settled(relay, "webhook")
        await settled(relay, "webhook")
        assert len(receiver.got) == 1
    rest = (await row(db, first)).next_at - utc_now()
    assert timedelta(seconds=880) < rest <= timedelta(seconds=900)


async def test_a_gone_endpoint_is_turned_off_and_on_again_by_resolving_its_alert(
    db: Database,
) -> None:
    async def gone(nth: int) -> Response:
        return Response(status_code=410 if nth == 1 else 200)

    async with hooked(db, gone) as (relay, receiver):
        first = await tell_hook(db)
        await settled(relay, "webhook")
        await due_now(db, first)
        await settled(relay, "webhook")
        assert len(receiver.got) == 1, "told although it is turned off"
        async with db.platform() as session:
            [alert] = (await session.exec(select(Alert))).all()
            assert alert.cause == DISABLED
            alert.resolve("Olga", "it is there again")
            await session.commit()
        await settled(relay, "webhook")

    assert (await row(db, first)).status == OutboxStatus.SENT


async def test_an_endpoint_that_never_answers_is_turned_off_and_misses_nothing(
    db: Database,
) -> None:
    dead = f"http://127.0.0.1:{free_port()}/hook"
    relay = hook(db, dead)
    message_id = await tell_hook(db)
    async with db.platform() as session:
        message = await session.get_one(OutboxMessage, message_id)
        message.attempts = len(SCHEDULE)
        await session.commit()

    await settled(relay, "webhook")
    await relay.aclose()

    assert (await row(db, message_id)).status == OutboxStatus.QUEUED
    async with db.platform() as session:
        endpoint = OperatorHook(db, url=dead, secret=SECRET)
        assert await alerts.stands(session, DISABLED, endpoint.subject_id)
        await endpoint.aclose()


async def test_what_an_endpoint_has_missed_outlives_its_first_bad_moment_after(
    db: Database,
) -> None:
    """All of it comes at once then, which is more than some bear."""

    async def comes_back(nth: int) -> Response:
        return Response(status_code=200 if nth == 2 else 503)

    async with hooked(db, comes_back) as (relay, receiver):
        missed = await tell_hook(db)
        async with db.platform() as session:
            message = await session.get_one(OutboxMessage, missed)
            message.attempts = len(SCHEDULE)
            await session.commit()
        await settled(relay, "webhook")
        async with db.platform() as session:
            [alert] = (await session.exec(select(Alert))).all()
            assert alert.cause == DISABLED
            alert.resolve("Olga", "it is there again")
            await session.exec(
                delete(OutboxMessage).where(col(OutboxMessage.id) != missed)
            )
            await session.commit()
        heard = await tell_hook(db)
        await settled(relay, "webhook")
        await due_now(db, missed)
        await settled(relay, "webhook")
        assert len(receiver.got) == 3

    assert (await row(db, heard)).status == OutboxStatus.SENT
    assert (await row(db, missed)).status == OutboxStatus.QUEUED


async def test_a_crash_between_send_and_settle_repeats_the_same_id(
    db: Database,
) -> None:
    async with receiving() as receiver:
        dying = hook(db, receiver.url)
        message_id = await tell_hook(db)
        [claimed] = await dying._claim("webhook")
        await dying._senders["webhook"].send(claimed)
        await dying.aclose()  # sent, and never settled

        living = hook(db, receiver.url)
        await settled(living, "webhook")
        assert len(receiver.got) == 1, "the lease is not over"
        await due_now(db, message_id)
        await settled(living, "webhook")
        await living.aclose()

    ids = {got.headers["webhook-id"] for got in receiver.got}
    assert (len(receiver.got), ids) == (2, {str(message_id)})


async def test_many_processes_send_each_message_once(db: Database) -> None:
    async with receiving() as receiver:
        relays = [hook(db, receiver.url) for _ in range(3)]
        sent = {str(await tell_hook(db)) for _ in range(30)}
        async with asyncio.timeout(90):
            while len(receiver.got) < 30:
                await asyncio.gather(*(relay.round("webhook") for relay in relays))
                await asyncio.sleep(0.05)
        for relay in relays:
            await relay.aclose()

    got = [one.headers["webhook-id"] for one in receiver.got]
    assert (len(got), set(got)) == (30, sent)


async def test_nothing_of_the_database_is_held_while_a_receiver_hangs(
    app_url: str, db: Database
) -> None:
    go_on = asyncio.Event()

    async def hang(_: int) -> Response:
        await go_on.wait()
        return Response()

    narrow = Database(app_url, pool_size=1, max_overflow=0)
    async with receiving(hang) as receiver:
        relay = hook(narrow, receiver.url)
        message_id = await tell_hook(db)
        await relay.round("webhook")
        await until(lambda: receiver.got)
        async with asyncio.timeout(30), narrow.platform() as session:
            free = select(OutboxMessage).where(OutboxMessage.id == message_id)
            await session.exec(free.with_for_update(nowait=True))
        go_on.set()
        await relay.aclose()
    await narrow.close()
    assert (await row(db, message_id)).status == OutboxStatus.SENT


class Post:
    """A post office that one recipient's mails never leave."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    async def send(self, *, to: str, **_: object) -> None:
        if to == "slow@example.com":
            await asyncio.Event().wait()
        self.sent.append(to)


async def test_a_slow_recipient_delays_nobody_else(db: Database) -> None:
    office = Post()
    relay = post(db, office)
    for _ in range(60):
        await tell_mail(db, "slow@example.com")
    for number in range(5):
        await tell_mail(db, f"quick{number}@example.com")

    sending = asyncio.create_task(relay.round("mail"))
    await until(lambda: len(office.sent) == 5)
    sending.cancel()
    for trying in relay._trying["mail"]:
        trying.cancel()
    await relay.aclose()


async def test_a_mail_that_fails_for_a_while_keeps_its_message_id(
    db: Database, catcher: mail.Mail
) -> None:
    catcher.store.set_faults([Script("execute_then_fail")])
    relay = post(db, mailer_to(catcher.smtp_port))
    message_id = await tell_mail(db, "ada@example.com")
    await settled(relay, "mail")
    assert (await row(db, message_id)).status == OutboxStatus.QUEUED
    await due_now(db, message_id)
    await settled(relay, "mail")
    await relay.aclose()

    assert (await row(db, message_id)).status == OutboxStatus.SENT
    kept = [effect["key"] for effect in catcher.store.effects()]
    assert kept == [f"<{message_id}@mpanel.test>"] * 2


async def test_a_message_that_is_given_up_is_an_alert(db: Database) -> None:
    class Away:
        async def send(self, **_: object) -> None:
            raise ProviderDown("mail", "away", code="network")

    relay = post(db, Away())
    message_id = await tell_mail(db, "ada@example.com")
    async with db.platform() as session:
        message = await session.get_one(OutboxMessage, message_id)
        message.attempts = len(SCHEDULE)
        await session.commit()

    await settled(relay, "mail")
    await relay.aclose()

    assert (await row(db, message_id)).status == OutboxStatus.FAILED
    async with db.platform() as session:
        [alert] = (await session.exec(select(Alert))).all()
    assert (alert.cause, alert.status) == ("message_given_up", AlertStatus.OPEN)
    assert "ada@" not in alert.message


async def test_a_body_without_end_is_not_read(db: Database) -> None:
    async def endless(_: int) -> Response:
        return Response(json.dumps("x" * 5_000_000))

    async with hooked(db, endless) as (relay, _):
        message_id = await tell_hook(db)
        await settled(relay, "webhook")
    assert (await row(db, message_id)).status == OutboxStatus.SENT


async def test_a_flood_of_events_to_one_endpoint_is_sent_in_one_go(
    db: Database,
) -> None:
    async with hooked(db) as (relay, receiver):
        sent = {str(await tell_hook(db)) for _ in range(40)}
        await settled(relay, "webhook")

    assert {one.headers["webhook-id"] for one in receiver.got} == sent
    assert len(receiver.got) == 40
