"""When operators are alerted: each rule from rows, once, while its condition lasts."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlmodel import col, select, update
from structlog.testing import capture_logs
from temporalio.service import RPCError, RPCStatusCode

from models.alert_rules import DEFAULTS, Rule
from models.alerts import Alert
from models.backups import BackupPlan
from models.base import utc_now
from models.database import Database
from models.inbox import StripeEventReceived
from models.jobs import Decision, Job, JobStep, ProviderAccount
from models.orders import Order
from models.outbox import OutboxMessage
from models.payments import PaymentClaim, UnclaimedPayment
from models.queries import alert_rules, alerts
from models.queries.conditions import CONDITIONS
from models.states import (
    Act,
    AlertStatus,
    JobKind,
    JobStatus,
    OrderStatus,
    OutboxStatus,
    ServiceStatus,
    Severity,
    StepStatus,
    UnclaimedStatus,
)
from models.tenants import MIGRAHOSTING
from tests.api import rows
from workers.alarms import Alarms
from workers.gates import AccountGates

LONG_AGO = utc_now() - timedelta(days=3)
Plant = Callable[[Database], Awaitable[Callable[[Database], Awaitable[None]]]]


async def always(_: str) -> float | None:
    return 0.0


async def rounds(db: Database, count: int = 1, **given: Any) -> None:
    for _ in range(count):
        await Alarms(db, given.get("pollers", always)).round()


async def open_alerts(db: Database) -> dict[str, Alert]:
    async with db.platform() as session:
        query = select(Alert).where(Alert.status != AlertStatus.RESOLVED)
        return {alert.cause: alert for alert in (await session.exec(query)).all()}


async def sold(db: Database, status: OrderStatus = OrderStatus.FULFILLING) -> Order:
    """A paid order."""
    buyer, product = rows.customer(), rows.product()
    order, items = rows.order(buyer, product)
    order.status = status
    claim = PaymentClaim(
        tenant_id=MIGRAHOSTING,
        stripe_payment_intent_id=f"pi_{uuid4().hex}",
        order_id=order.id,
        amount=order.total,
        currency="usd",
        created_at=LONG_AGO,
    )
    await rows.add(db, buyer, product, order, *items, claim)
    return order


async def change(db: Database, table: Any, id: UUID, **values: Any) -> None:
    async with db.platform() as session:
        await session.exec(update(table).where(table.id == id).values(**values))
        await session.commit()


def then(table: Any, id: UUID, **values: Any) -> Callable[[Database], Awaitable[None]]:
    async def over(db: Database) -> None:
        await change(db, table, id, **values)

    return over


async def late_order(db: Database) -> Callable[[Database], Awaitable[None]]:
    order = await sold(db)
    return then(Order, order.id, status=OrderStatus.COMPLETED)


async def slow_job(db: Database) -> Callable[[Database], Awaitable[None]]:
    past = [
        rows.job(
            status=JobStatus.SUCCEEDED,
            started_at=LONG_AGO,
            ended_at=LONG_AGO + timedelta(seconds=300),
        )
        for _ in range(25)
    ]
    ago = utc_now() - timedelta(seconds=300 * 6)
    usual = utc_now() - timedelta(seconds=300 * 4)
    slow = rows.job(started_at=ago, updated_at=ago)
    other = rows.job(started_at=usual, updated_at=usual)
    await rows.add(db, *past, slow, other)
    return then(Job, slow.id, status=JobStatus.SUCCEEDED)


async def unstarted_job(db: Database) -> Callable[[Database], Awaitable[None]]:
    job = rows.job(status=JobStatus.PENDING, updated_at=LONG_AGO)
    await rows.add(db, job)
    return then(Job, job.id, started_generation=1)


async def stuck_message(db: Database) -> Callable[[Database], Awaitable[None]]:
    message = OutboxMessage(
        tenant_id=MIGRAHOSTING,
        channel="mail",
        recipient="ada@example.com",
        template="welcome",
        subject_id=uuid4(),
        next_at=LONG_AGO,
    )
    await rows.add(db, message)
    return then(OutboxMessage, message.id, status=OutboxStatus.SENT)


async def unhandled_event(db: Database) -> Callable[[Database], Awaitable[None]]:
    event = StripeEventReceived(event_id="evt_1", type="x", created_at=LONG_AGO)
    await rows.add(db, event)
    return then(StripeEventReceived, event.id, handled_at=utc_now())


async def closed_gate(db: Database) -> Callable[[Database], Awaitable[None]]:
    await AccountGates(db).close("stripe:4242", 3600)
    async with db.platform() as session:
        account = (await session.exec(select(ProviderAccount))).one()
    return then(ProviderAccount, account.id, blocked_until=LONG_AGO)


async def missed_backup(db: Database) -> Callable[[Database], Awaitable[None]]:
    buyer, product = rows.customer(), rows.product()
    owned = rows.subscription(buyer, product)
    site = rows.website(owned, live_at=LONG_AGO)
    plan = BackupPlan(
        tenant_id=MIGRAHOSTING,
        customer_id=buyer.id,
        subscription_id=owned.id,
        website_id=site.id,
        status=ServiceStatus.ACTIVE,
        created_at=LONG_AGO,
    )
    await rows.add(db, buyer, product, owned, site, plan)
    return lambda db: rows.add(db, rows.backup(site))


async def listed_payment(db: Database) -> Callable[[Database], Awaitable[None]]:
    payment = UnclaimedPayment(
        stripe_payment_intent_id="pi_1", amount=1, currency="usd", paid_at=LONG_AGO
    )
    await rows.add(db, payment)
    return then(UnclaimedPayment, payment.id, status=UnclaimedStatus.REFUNDED)


async def flood(db: Database) -> Callable[[Database], Awaitable[None]]:
    jobs = [rows.job(status=JobStatus.NEEDS_ATTENTION) for _ in range(12)]
    await rows.add(db, *jobs)
    async with db.platform() as session:
        for job in jobs:
            await alerts.raise_for_job(
                session, job, cause="provider_rejected", message="no", occasion="1"
            )
        await session.commit()

    async def over(db: Database) -> None:
        async with db.platform() as session:
            await session.exec(
                update(Alert)
                .where(col(Alert.job_id).is_not(None))
                .values(status=AlertStatus.RESOLVED)
            )
            await session.commit()

    return over


PLANTS: dict[str, Plant] = {
    "order_late": late_order,
    "job_slow": slow_job,
    "start_backlog": unstarted_job,
    "outbox_backlog": stuck_message,
    "webhook_lag": unhandled_event,
    "gate_closed": closed_gate,
    "backup_missed": missed_backup,
    "payment_unclaimed": listed_payment,
    "parked_flood": flood,
}


def test_every_rule_has_a_plant_here() -> None:
    others = {"customer_told", "queue_without_worker"}
    assert set(CONDITIONS) == set(PLANTS) == set(DEFAULTS) - others


@pytest.mark.parametrize("cause", PLANTS)
async def test_a_condition_is_one_alert_while_it_lasts(
    db: Database, cause: str
) -> None:
    over = await PLANTS[cause](db)

    with capture_logs() as logs:
        await rounds(db, 3)

    raised = [one for one in logs if one["event"] == "rule_failed"]
    assert raised == []
    alert = (await open_alerts(db))[cause]
    assert alert.severity == DEFAULTS[cause].severity
    async with db.platform() as session:
        query = select(OutboxMessage.channel).where(OutboxMessage.alert_id == alert.id)
        told = sorted((await session.exec(query)).all())
    assert told == ["mail", "webhook"], "told once on each channel"

    await over(db)
    await rounds(db)
    assert cause not in await open_alerts(db)
    async with db.platform() as session:
        ended = await session.get_one(Alert, alert.id)
    assert (ended.status, ended.resolved_by) == (AlertStatus.RESOLVED, None)


async def test_nothing_is_alerted_about_where_nothing_is_wrong(db: Database) -> None:
    await sold(db, OrderStatus.COMPLETED)
    await rows.add(db, rows.job(started_at=utc_now()), rows.job(status="waiting"))
    with capture_logs() as logs:
        await rounds(db)
    assert await open_alerts(db) == {}
    assert [one for one in logs if one["event"] == "rule_failed"] == []


def under_way(of: Job, name: str, **facts: Any) -> JobStep:
    """A step that has been tried again and again for hours."""
    given = {"status": StepStatus.RETRYING, "tried_at": utc_now(), **facts}
    return JobStep(
        tenant_id=of.tenant_id,
        job_id=of.id,
        name=name,
        generation=1,
        scheduled_at=LONG_AGO,
        phase=1,
        tries=99,
        started_at=LONG_AGO,
        **given,
    )


async def test_a_slow_job_is_told_with_the_step_that_holds_it_up(db: Database) -> None:
    slow = rows.job(started_at=LONG_AGO, updated_at=LONG_AGO)
    await rows.add(
        db,
        slow,
        under_way(slow, "await_website", code="waiting"),
        under_way(slow, "create_site", code="provider_down"),
    )
    await rounds(db)
    alert = (await open_alerts(db))["job_slow"]
    assert alert.message.endswith("it is at create_site")
    async with db.platform() as session:
        await session.exec(update(JobStep).values(status=StepStatus.RUNNING, code=None))
        await session.commit()
    await rounds(db)
    assert (await open_alerts(db))["job_slow"].id == alert.id, "while it is tried again"


async def test_a_job_that_waits_as_it_should_is_not_slow(db: Database) -> None:
    old = {"started_at": LONG_AGO, "updated_at": LONG_AGO}
    decided = rows.job(started_at=LONG_AGO)  # waited for a person until now
    waits = rows.job(kind=JobKind.BACKUPS_ENABLE, **old)
    looks = rows.job(kind=JobKind.NODE_DRAIN, **old)
    buyer, product = rows.customer(), rows.cloudpod_product()
    owned = rows.subscription(buyer, product)
    pod = rows.cloudpod(owned, product, held_until=utc_now() + timedelta(hours=1))
    held = rows.job(kind=JobKind.CLOUDPOD_DELETE, subject_id=pod.id, **old)
    await rows.add(db, buyer, product, owned, pod)
    await rows.add(
        db,
        *(decided, waits, looks, held),
        under_way(waits, "await_website", code="waiting"),
        # Just now it looks again whether its wait is over.
        under_way(looks, "await_moves", status=StepStatus.RUNNING),
    )
    await rounds(db)
    assert await open_alerts(db) == {}


async def test_a_flood_is_one_alert_with_a_count(db: Database) -> None:
    await flood(db)
    await rounds(db)
    alert = (await open_alerts(db))["parked_flood"]
    assert alert.count == 12
    assert alert.message.startswith("12 jobs wait for provider_rejected")


async def test_a_decision_that_is_not_delivered_is_a_backlog(db: Database) -> None:
    job = rows.job()
    await rows.add(db, job)
    decision = Decision(
        tenant_id=MIGRAHOSTING,
        job_id=job.id,
        generation=1,
        act=Act.RETRY,
        why="go on",
        author="Olga",
        created_at=LONG_AGO,
    )
    await rows.add(db, decision)
    await rounds(db)
    assert "1 decisions" in (await open_alerts(db))["start_backlog"].message


async def test_an_act_whose_turn_has_not_come_waits_for_no_temporal(
    db: Database,
) -> None:
    pod = uuid4()

    def asked(kind: JobKind, status: JobStatus, hours: int) -> Job:
        ago = utc_now() - timedelta(hours=hours)
        when = {"created_at": ago, "updated_at": ago}
        return rows.job(
            subject_id=pod, kind=kind, status=status, exclusive=False, **when
        )

    first = asked(JobKind.CLOUDPOD_BACKUP, JobStatus.NEEDS_ATTENTION, 4)
    await rows.add(
        db,
        first,
        asked(JobKind.CLOUDPOD_RESIZE, JobStatus.PENDING, 3),
        asked(JobKind.CLOUDPOD_RESTART, JobStatus.PENDING, 2),
    )
    await rounds(db)
    assert "start_backlog" not in await open_alerts(db)

    await change(db, Job, first.id, status=JobStatus.SUCCEEDED)
    await rounds(db)
    assert "1 jobs wait" in (await open_alerts(db))["start_backlog"].message


async def test_a_message_says_utc_and_means_it_wherever_the_database_is(
    db: Database,
) -> None:
    order = await sold(db)
    elsewhere = Database(f"{db.url}?options=-c%20timezone%3DAsia/Tokyo")
    try:
        await rounds(elsewhere)
    finally:
        await elsewhere.close()
    alert = (await open_alerts(db))["order_late"]
    assert alert.message == (
        f"order {order.id} was paid at {LONG_AGO:%Y-%m-%d %H:%M} UTC"
        " and is not delivered"
    )


async def test_a_rule_is_what_an_admin_makes_of_it(db: Database) -> None:
    await late_order(db)
    rule = Rule("order_late", Severity.WARNING, 1, 60)
    async with db.platform() as session:
        await alert_rules.change(session, rule, by="Olga")
        await session.commit()
    await rounds(db)
    assert (await open_alerts(db))["order_late"].severity == Severity.WARNING
    off = Rule("order_late", Severity.WARNING, 1, 60, enabled=False)
    async with db.platform() as session:
        await alert_rules.change(session, off, by="Olga")
        await session.commit()
    await rounds(db)
    assert await open_alerts(db) == {}


async def test_a_queue_that_nobody_asks_is_alerted_about_until_somebody_does(
    db: Database,
) -> None:
    served: float | None = None

    async def pollers(queue: str) -> float | None:
        return served if queue == "hosting" else 0.0

    async with db.platform() as session:
        rule = Rule("queue_without_worker", Severity.CRITICAL, 1, 0)
        await alert_rules.change(session, rule, by="Olga")
        await session.commit()
    alarms = Alarms(db, pollers, queues=["hosting", "stripe"])
    await alarms.round()
    assert "hosting" in (await open_alerts(db))["queue_without_worker"].message
    served = 0.0
    await alarms.round()
    left = await open_alerts(db)
    assert "hosting" not in str(left)


async def test_a_queue_without_worker_is_one_alert_whoever_looks_and_since_when(
    db: Database,
) -> None:
    """A process that has begun to look just now, or could not ask, knows no better than
    the one that has looked for longer."""
    away, served = False, dict[str, float]()

    async def pollers(queue: str) -> float | None:
        if away:
            raise RPCError("away", RPCStatusCode.UNAVAILABLE, b"")
        return served.get(queue)

    async def alerted() -> list[tuple[UUID, bool]]:
        async with db.platform() as session:
            query = select(Alert).where(Alert.cause == "queue_without_worker")
            found = (await session.exec(query)).all()
        return [(one.id, one.status == AlertStatus.RESOLVED) for one in found]

    async with db.platform() as session:
        rule = Rule("queue_without_worker", Severity.CRITICAL, 1, 1)
        await alert_rules.change(session, rule, by="Olga")
        await session.commit()
    long_here = Alarms(db, pollers, queues=["hosting"])
    await asyncio.sleep(1.1)
    await long_here.round()
    [(alert_id, over)] = await alerted()
    assert not over

    await Alarms(db, pollers, queues=["hosting"]).round()
    assert await alerted() == [(alert_id, False)], "a process that has just begun"

    away = True
    await asyncio.sleep(1.1)
    await long_here.round()
    away = False
    await asyncio.sleep(1.1)
    await long_here.round()
    assert await alerted() == [(alert_id, False)], "one that could not ask meanwhile"

    served["hosting"] = 0.5
    await asyncio.sleep(1.1)
    await long_here.round()
    assert await alerted() == [(alert_id, True)]


async def test_a_customer_is_told_once_that_we_are_on_it(db: Database) -> None:
    order = await sold(db)
    parked = rows.job(
        status=JobStatus.NEEDS_ATTENTION, order_id=order.id, subject_id=uuid4()
    )
    fresh = await sold(db)
    young = rows.job(
        kind=JobKind.WEBSITE_PROVISION,
        status=JobStatus.NEEDS_ATTENTION,
        order_id=fresh.id,
    )
    await rows.add(db, parked, young)
    async with db.platform() as session:
        for job in (parked, young):
            await alerts.raise_for_job(
                session, job, cause="conflict", message="sk_live_theirs", occasion="1"
            )
        await session.exec(
            update(Alert)
            .where(col(Alert.job_id) == parked.id)
            .values(created_at=LONG_AGO)
        )
        await session.commit()

    await rounds(db, 3)

    async with db.platform() as session:
        query = select(OutboxMessage).where(col(OutboxMessage.order_id).is_not(None))
        [mail] = (await session.exec(query)).all()
    assert (mail.template, mail.order_id, mail.facts) == ("order_trouble", order.id, {})
