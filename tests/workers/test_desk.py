"""Operators' mail: at once, after the night, or many in one; and none is lost."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as some
from simulators import mail
from sqlmodel import select

from activities.gate import OpenGate
from activities.providers.smtp import Mailer
from models.alerts import Alert
from models.base import utc_now
from models.database import Database
from models.outbox import OutboxMessage
from models.queries.alerts import Finding, end, raise_alert, silence
from models.states import AlertStatus, OutboxStatus, Severity
from models.tenants import MIGRAHOSTING
from tests.api import rows
from tests.workers.conftest import until
from workers.desk import Desk, Manners
from workers.mails import Mails
from workers.quiet import QuietHours
from workers.relay import Relay


@pytest.fixture
async def relay(db: Database, catcher: mail.Mail) -> AsyncIterator[Relay]:
    mailer = Mailer(
        "127.0.0.1", catcher.smtp_port, sender="hi@mpanel.test", gate=OpenGate()
    )
    made = Relay(
        db,
        {
            "mail": Mails(
                db,
                mailer,
                operator="operator@example.net",
                public_url="http://panel.test",
                domain="mpanel.test",
                bounce_domain=None,
            )
        },
    )
    yield made
    await made.aclose()


async def alert(
    db: Database,
    cause: str = "provider_rejected",
    *,
    severity: Severity = Severity.WARNING,
    count: int = 1,
) -> list[str]:
    """So many alerts of one cause at once; the words that tell each."""
    words = [f"job {uuid4()} waits" for _ in range(count)]
    async with db.platform() as session:
        for each in words:
            found = Finding(MIGRAHOSTING, uuid4(), each, severity)
            await raise_alert(session, cause, found)
        await session.commit()
    return words


async def sent(relay: Relay, catcher: mail.Mail, *, count: int) -> list[str]:
    """The texts of the mails that came, with their subjects; so many are waited for."""

    def mails() -> list[str]:
        return [
            f"{one['subject']}\n{one['text']}" for one in catcher.store.each("message")
        ]

    for _ in range(count):
        await relay.round("mail")
        await until(lambda: not relay._trying["mail"])
    assert len(mails()) == count, mails()
    return mails()


def flat(text: str) -> str:
    return " ".join(text.split())


async def statuses(db: Database, channel: str = "mail") -> list[str]:
    async with db.platform() as session:
        rows = await session.exec(
            select(OutboxMessage.status).where(OutboxMessage.channel == channel)
        )
        return sorted(str(status) for status in rows.all())


async def test_a_few_alerts_are_a_mail_each(
    db: Database, relay: Relay, catcher: mail.Mail
) -> None:
    words = await alert(db, count=3)

    await Desk(db, Manners(burst=5)).round()

    mails = await sent(relay, catcher, count=3)
    assert all(any(each in flat(text) for text in mails) for each in words)


async def test_a_mail_about_what_is_over_when_it_goes_out_says_so(
    db: Database, relay: Relay, catcher: mail.Mail
) -> None:
    subject_id = uuid4()
    async with db.platform() as session:
        found = Finding(MIGRAHOSTING, subject_id, "the disk is full")
        await raise_alert(session, "disk", found)
        await end(session, "disk", subject_id)
        await session.commit()

    await Desk(db, Manners()).round()

    [only] = await sent(relay, catcher, count=1)
    assert only.startswith("[mpanel] disk: the disk is full (over by now)\n")


async def test_two_hundred_alerts_are_a_handful_of_mails_and_each_is_in_one(
    db: Database, relay: Relay, catcher: mail.Mail
) -> None:
    desk = Desk(db, Manners(burst=5, digest_every=3600))
    words = await alert(db, count=150)
    words += await alert(db, "conflict", count=50)
    for _ in range(3):
        await desk.round()

    mails = [flat(each) for each in await sent(relay, catcher, count=1)]

    assert "150 x provider_rejected, 50 x conflict" in mails[0]
    assert all(any(each in text for text in mails) for each in words)
    assert "http://panel.test/api/alerts?cause=conflict" in mails[0]
    late = await alert(db, count=9)
    await desk.round()
    assert await statuses(db) == ["folded"] * 200 + ["held"] * 9 + ["sent"]
    await Desk(db, Manners(burst=5, digest_every=0)).round()
    mails = [flat(each) for each in await sent(relay, catcher, count=2)]
    assert all(any(each in text for text in mails) for each in late)


async def test_a_trickle_that_goes_on_becomes_digests(
    db: Database, relay: Relay, catcher: mail.Mail
) -> None:
    desk, words = Desk(db, Manners(burst=3, digest_every=3600)), []
    for _ in range(10):
        words += await alert(db)
        await desk.round()
    assert await statuses(db) == ["folded"] + ["held"] * 6 + ["queued"] * 4

    await Desk(db, Manners(burst=3, digest_every=0)).round()

    mails = await sent(relay, catcher, count=5)
    assert all(any(each in flat(text) for text in mails) for each in words)


async def test_something_critical_in_a_flood_waits_for_no_slow_digest(
    db: Database,
) -> None:
    desk = Desk(db, Manners(burst=1, digest_every=3600, critical_every=0))
    await alert(db, count=3)
    await desk.round()
    await alert(db)
    await desk.round()
    assert "held" in await statuses(db)
    await alert(db, severity=Severity.CRITICAL)
    await desk.round()
    assert "held" not in await statuses(db)


async def test_at_night_only_critical_mail_passes_and_the_rest_is_one_digest_after(
    db: Database, relay: Relay, catcher: mail.Mail
) -> None:
    # From an hour ago until in an hour, wherever the clock stands.
    begin, end = (utc_now() + timedelta(hours=h) for h in (-1, 1))
    quiet = QuietHours.parse(f"{begin:%H:%M}-{end:%H:%M} UTC")
    night = Desk(db, Manners(quiet=quiet))
    words = await alert(db, count=3)
    [loud] = await alert(db, "books", severity=Severity.CRITICAL)

    await night.round()
    [only] = await sent(relay, catcher, count=1)
    assert loud in flat(only)
    assert "CRITICAL" in only

    async with db.platform() as session:
        for held in (await session.exec(select(OutboxMessage))).all():
            held.created_at -= timedelta(hours=12)
        await session.commit()
    was_night = QuietHours.parse(
        f"{begin - timedelta(hours=12):%H:%M}-{end - timedelta(hours=12):%H:%M} UTC"
    )
    await Desk(db, Manners(quiet=was_night)).round()
    digest = (await sent(relay, catcher, count=2))[1]
    assert digest.startswith("[mpanel] 3 alerts")
    assert all(each in flat(digest) for each in words)


async def test_what_somebody_has_in_hand_is_told_no_more(db: Database) -> None:
    subject_id = uuid4()
    found = Finding(MIGRAHOSTING, subject_id, "the disk is full")
    async with db.platform() as session:
        await raise_alert(session, "disk", found, occasion="1")
        await session.commit()
        row = (await session.exec(select(Alert))).one()
        row.acknowledge("Olga", "on my way")
        await silence(session, row)
        await session.commit()
        for occasion in ("2", "2", "3"):
            await raise_alert(session, "disk", found, occasion=occasion)
        await session.commit()
        await session.refresh(row)
    await Desk(db, Manners()).round()

    assert (row.status, row.count) == (AlertStatus.ACKNOWLEDGED, 3)
    assert await statuses(db) == [OutboxStatus.SILENCED] * 3
    assert await statuses(db, "webhook") == ["queued", "silenced", "silenced"]


async def test_what_happens_while_its_alert_is_resolved_is_told_anew(
    db: Database,
) -> None:
    found = Finding(MIGRAHOSTING, uuid4(), "the disk is full")

    async def happens(occasion: str) -> None:
        async with db.platform() as session:
            await raise_alert(session, "disk", found, occasion=occasion)
            await session.commit()

    await happens("1")
    async with db.platform() as session:
        row = (await session.exec(select(Alert).with_for_update())).one()
        again = asyncio.create_task(happens("2"))
        await rows.waited_for(db)
        row.resolve("Olga", "made room")
        await session.commit()
    await again

    async with db.platform() as session:
        counted = await session.exec(select(Alert.status).order_by(Alert.status))
        assert counted.all() == [AlertStatus.OPEN, AlertStatus.RESOLVED]
    assert await statuses(db) == ["held", "held"]
    assert await statuses(db, "webhook") == ["queued", "queued"]


async def test_several_desks_fold_each_mail_once(db: Database) -> None:
    await alert(db, count=40)
    desks = [Desk(db, Manners(burst=2)) for _ in range(4)]
    await asyncio.gather(*(desk.round() for desk in desks))
    assert await statuses(db) == ["folded"] * 40 + ["queued"]


@given(moment=some.datetimes(timezones=some.just(UTC)))
def test_a_night_over_midnight_is_the_rest_of_the_day_around(moment: datetime) -> None:
    night = QuietHours.parse("22:00-07:00 Europe/Berlin")
    day = QuietHours.parse("07:00-22:00 Europe/Berlin")

    assert night.cover(moment) != day.cover(moment)


def test_a_night_follows_the_place_and_its_summer_time() -> None:
    night = QuietHours.parse("22:00-07:00 Europe/Berlin")

    assert night.cover(datetime(2026, 7, 1, 20, 30, tzinfo=UTC))
    assert not night.cover(datetime(2026, 12, 1, 20, 30, tzinfo=UTC))


@pytest.mark.parametrize(
    "words", ["", "22-7 UTC", "25:00-07:00 UTC", "22:00-07:00 Mars/Base", "22:00-07:00"]
)
def test_wrong_quiet_hours_are_refused(words: str) -> None:
    with pytest.raises(ValueError, match=r"time zone|hour"):
        QuietHours.parse(words)
