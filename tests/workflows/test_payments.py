"""Payments and orders that do not come in pairs: sent twice, paid twice, never sent."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial

import pytest
from sqlmodel import select
from temporalio.testing import WorkflowEnvironment

from api.services import decisions, payments
from api.services.decisions import Wish
from models.alerts import Alert
from models.base import utc_now
from models.database import Database
from models.inbox import StripeEventReceived
from models.jobs import Job
from models.ordering import Line, Placed
from models.orders import Order, OrderRepeat
from models.payments import PaymentRefund, UnclaimedPayment
from models.queries.refunds import FAILED
from models.states import (
    Act,
    JobStatus,
    OrderStatus,
    Reason,
    RefundStatus,
    RepeatStatus,
    Severity,
    UnclaimedStatus,
)
from tests.judge import balanced, golden, summed
from tests.workflows.operator import OPERATOR, abort_order, mails_with
from tests.workflows.shop import PRICE, buy, line_of, settled, waiting
from tests.world import DOMAIN, GROWTH, Providers, World, world
from workers.stripe_watch import REFUSALS, StripeWatch

EMAIL = "ada@example.com"


@pytest.fixture
async def watchful(
    simulators: Providers, db: Database, temporal: WorkflowEnvironment
) -> AsyncIterator[World]:
    """A world that lists a payment without an order after a second."""
    async with world(
        simulators,
        db,
        temporal.client.service_client.config.target_host,
        payments_seconds=0.5,
        unclaimed_after_seconds=1.0,
    ) as made:
        yield made


async def test_two_payments_and_two_identical_bodies_make_two_websites(
    here: World,
) -> None:
    customer = (await here.pay(PRICE, email=EMAIL))["customer"]["id"]
    await here.pay(PRICE, customer=customer)

    first = await here.order(customer=customer, email=EMAIL)
    again = await here.order(customer=customer, email=EMAIL)
    assert again.id == first.id, "a repeat gets the first answer"

    await here.until(lambda: completed(here), lambda done: len(done) == 1)
    await here.wired.stripe_watch.repeats()
    await here.until(lambda: completed(here), lambda done: len(done) == 2)
    (repeat,) = await repeats(here)
    assert repeat.status == RepeatStatus.ORDERED
    assert {first.id, repeat.order_id} == {one.id for one in await completed(here)}
    await golden(here, orders=2)
    await balanced(here)


async def test_one_payment_and_sixty_identical_bodies_make_one_website(
    here: World,
) -> None:
    customer = (await here.pay(PRICE, email=EMAIL))["customer"]["id"]

    placed = await asyncio.gather(
        *(here.order(customer=customer, email=EMAIL) for _ in range(60))
    )
    assert len({order.id for order in placed}) == 1
    await here.until(lambda: completed(here), lambda done: len(done) == 1)
    await here.wired.stripe_watch.repeats()
    assert {one.status for one in await repeats(here)} == {RepeatStatus.HELD}
    async with here.db.platform() as session:
        for repeat in (await session.exec(select(OrderRepeat))).all():
            repeat.created_at = utc_now() - timedelta(minutes=16)
        await session.commit()
    await here.wired.stripe_watch.repeats()

    closed = await repeats(here)
    assert [one.status for one in closed] == [RepeatStatus.DUPLICATE] * 59
    await golden(here, orders=1)
    await balanced(here)


async def test_a_repeat_is_not_closed_before_stripe_was_asked_for_its_payment(
    here: World,
) -> None:
    customer = (await here.pay(PRICE, email=EMAIL))["customer"]["id"]
    await here.pay(PRICE, customer=customer)
    await here.fault("stripe", {"kind": "fail", "op": "GET *", "times": 10_000})
    for _ in range(2):
        await here.order(customer=customer, email=EMAIL)
    (repeat,) = await repeats(here)
    async with here.db.platform() as session:
        row = await session.get_one(OrderRepeat, repeat.id)
        row.created_at = utc_now() - timedelta(minutes=16)
        await session.commit()

    await here.wired.stripe_watch.repeats()

    assert [one.status for one in await repeats(here)] == [RepeatStatus.HELD]


async def test_a_payment_whose_order_never_came_becomes_an_order_or_a_refund(
    watchful: World,
) -> None:
    here = watchful
    for number in (1, 2):
        await here.pay(PRICE, email=f"p{number}@example.com")
    listed = await here.until(lambda: unclaimed(here), lambda found: len(found) == 2)
    for intent in (payment.stripe_payment_intent_id for payment in listed):
        tell = partial(mails_with, here, intent)
        await here.until(tell, lambda mails: len(mails) == 1)
    books = await balanced(here)
    assert books.listed == 2 * PRICE

    to_order, to_refund = listed
    placed = await order_for(here, to_order)
    async with here.db.platform() as session:
        await payments.refund(session, OPERATOR, to_refund.id, reason="nobody knows")

    assert not placed.repeated
    job = await here.ended(await here.read(Job, placed.job_id))
    assert job.status == JobStatus.SUCCEEDED
    intent = to_refund.stripe_payment_intent_id
    given_back = await here.until(
        lambda: here.wired.stripe.refunds(intent), lambda made: len(made) > 0
    )
    assert [one.amount for one in given_back] == [PRICE]
    assert await unclaimed(here) == []
    books = await here.until(
        lambda: summed(here), lambda sums: sums.balanced and sums.refunded == PRICE
    )
    assert (books.claimed, books.refunded, books.listed) == (PRICE, PRICE, 0)


async def test_a_bank_debit_that_was_made_weeks_ago_and_has_no_order_is_listed(
    here: World,
) -> None:
    made = utc_now() - timedelta(days=20)
    paid = await here.pay(PRICE, created=int(made.timestamp()))

    # Of a worker that starts now; after that it looks back as far once a day.
    watch = StripeWatch(
        here.db,
        here.client,
        here.wired.stripe,
        unclaimed_after=timedelta(minutes=1),
        platform_domain=DOMAIN,
    )
    await watch.payments()

    [listed] = await unclaimed(here)
    assert listed.stripe_payment_intent_id == paid["payment_intent"]["id"]
    assert (await balanced(here)).listed == PRICE


async def test_a_listed_payment_comes_off_the_list_when_its_order_comes_late(
    watchful: World,
) -> None:
    here = watchful
    paid = await here.pay(PRICE, email=EMAIL)
    (listed,) = await here.until(lambda: unclaimed(here), lambda found: len(found) > 0)

    order = await here.order(customer=paid["customer"]["id"], email=EMAIL)

    job = await here.ended(await here.job_of(order))
    assert job.status == JobStatus.SUCCEEDED
    payment = await here.read(UnclaimedPayment, listed.id)
    assert (payment.status, payment.order_id) == (UnclaimedStatus.CLAIMED, order.id)
    assert (await balanced(here)).claimed == PRICE


async def test_a_payment_that_was_listed_just_as_it_was_claimed_comes_off_the_list(
    here: World,
) -> None:
    paid = await here.pay(PRICE, email=EMAIL)
    order = await here.order(customer=paid["customer"]["id"], email=EMAIL)
    await settled(here, order)
    late = UnclaimedPayment(
        stripe_payment_intent_id=paid["payment_intent"]["id"],
        amount=PRICE,
        currency="usd",
        paid_at=utc_now(),
    )
    async with here.db.platform() as session:
        session.add(late)
        await session.commit()

    await here.wired.stripe_watch.payments()

    row = await here.read(UnclaimedPayment, late.id)
    assert (row.status, row.order_id) == (UnclaimedStatus.CLAIMED, order.id)


async def test_a_payment_whose_order_is_aborted_unproven_waits_for_a_person_again(
    watchful: World,
) -> None:
    here = watchful
    paid = await here.pay(PRICE, email=EMAIL)
    (listed,) = await here.until(lambda: unclaimed(here), lambda found: len(found) > 0)
    intent = paid["payment_intent"]["id"]
    await here.stripe("refunds", payment_intent=intent, amount=100)
    first = await order_for(here, listed)
    root = await here.parked(await here.read(Job, first.job_id))
    assert root.reason == Reason.PAYMENT_AMBIGUOUS

    await abort_order(here, root)

    await here.ended(root)
    (again,) = await here.until(lambda: unclaimed(here), lambda found: len(found) > 0)
    assert (again.id, again.order_id) == (listed.id, None)
    await balanced(here)
    second = await order_for(here, listed)
    assert second.order_id != first.order_id, "an order that is over is no order"
    await here.parked(await here.read(Job, second.job_id))


async def test_whoever_paid_too_little_is_not_told_that_nothing_was_charged(
    here: World,
) -> None:
    paid = await here.pay(PRICE - 1, email=EMAIL)
    order = await here.order(customer=paid["customer"]["id"], email=EMAIL)
    root = await here.parked(await here.job_of(order))
    assert root.unclaimed, "we have it"

    await abort_order(here, root)

    await here.ended(root)
    told = partial(mails_with, here, f"your order {str(order.id)[:8]} was cancelled")
    (mail,) = await here.until(told, lambda mails: len(mails) == 1)
    assert "charged" not in mail["text"]
    assert "If you have paid" in mail["text"]


async def test_what_is_given_back_is_told_in_the_money_that_was_paid(
    here: World,
) -> None:
    paid = await here.pay(PRICE, currency="eur", email=EMAIL)
    order = await here.order(customer=paid["customer"]["id"], email=EMAIL)
    root = await here.parked(await here.job_of(order))
    await here.fault("powerdns", {"kind": "reject", "op": "PATCH *", "times": 10_000})
    correction = {"paymentIntentId": paid["payment_intent"]["id"]}
    async with here.db.platform() as session:
        wish = Wish(Act.RETRY, "agreed by telephone", correction=correction)
        await decisions.go_on(session, OPERATOR, root.id, wish)
    line = await here.parked(await line_of(here, order))

    await abort_order(here, line)

    await settled(here, order)
    told = partial(mails_with, here, "We have refunded")
    (mail,) = await here.until(told, lambda mails: len(mails) == 1)
    assert "We have refunded 54.98 EUR" in mail["text"]


async def order_for(world: World, payment: UnclaimedPayment) -> Placed:
    async with world.db.platform() as session:
        return await payments.order_for(
            session,
            world.client,
            OPERATOR,
            payment.id,
            email=EMAIL,
            lines=tuple(Line(code, kind) for code, kind in GROWTH),
            platform_domain=DOMAIN,
        )


async def completed(world: World) -> list[Order]:
    async with world.db.platform() as session:
        found = await session.exec(
            select(Order).where(Order.status == OrderStatus.COMPLETED)
        )
        return list(found)


async def repeats(world: World) -> list[OrderRepeat]:
    async with world.db.platform() as session:
        return list(await session.exec(select(OrderRepeat)))


async def unclaimed(world: World) -> list[UnclaimedPayment]:
    async with world.db.platform() as session:
        found = await session.exec(
            select(UnclaimedPayment).where(
                UnclaimedPayment.status == UnclaimedStatus.LISTED
            )
        )
        return list(found)


async def test_a_refund_that_fails_later_is_told_to_a_person(watchful: World) -> None:
    here = watchful
    await here.fault("powerdns", {"kind": "reject", "op": "PATCH *"})
    order = await buy(here)
    await abort_order(here, await waiting(here, order))
    _, ended = await settled(here, order)
    assert ended.status == OrderStatus.FAILED
    async with here.db.platform() as session:
        query = select(PaymentRefund).where(PaymentRefund.order_id == order.id)
        [refund] = (await session.exec(query)).all()
    assert refund.status == RefundStatus.MADE
    told = partial(mails_with, here, "We have refunded 54.98 USD")
    await here.until(told, lambda mails: len(mails) == 1)

    await here.control("stripe", "POST", f"refunds/{refund.stripe_refund_id}/fail")
    for type_ in ("refund.failed", "charge.refund.updated"):
        async with here.db.platform() as session:
            session.add(
                StripeEventReceived(
                    event_id=f"evt_{type_}",
                    type=type_,
                    object_id=refund.stripe_refund_id or "",
                )
            )
            await session.commit()
    await here.wired.stripe_watch.events()

    row = await here.read(PaymentRefund, refund.id)
    assert row.status == RefundStatus.FAILED
    async with here.db.platform() as session:
        query = select(Alert).where(Alert.cause == FAILED)
        [alert] = (await session.exec(query)).all()
    assert (alert.subject_id, alert.severity) == (refund.id, Severity.CRITICAL)
    assert str(order.id) in alert.message
    told = partial(mails_with, here, str(alert.id))
    await here.until(told, lambda mails: len(mails) == 1)
    assert (await here.read(Order, order.id)).status == OrderStatus.FAILED
    await balanced(here)


async def test_refunds_that_stripe_does_not_tell_of_hold_up_no_event_and_are_told(
    here: World,
) -> None:
    refused = {"kind": "reject", "op": "GET /v1/refunds/*", "times": 10_000}
    await here.fault("stripe", refused)
    unreadable = [
        StripeEventReceived(
            event_id=f"evt_{number}",
            type="refund.updated",
            object_id=f"re_{number}",
            created_at=utc_now() - timedelta(minutes=9),
        )
        for number in range(100)
    ]
    unreadable[0].attempts = REFUSALS - 1
    new = StripeEventReceived(event_id="evt_new", type="charge.updated")
    async with here.db.platform() as session:
        session.add_all([*unreadable, new])
        await session.commit()

    for event in (new, unreadable[0]):
        await here.until(
            partial(after_a_round, here, event),
            lambda row: row.handled_at is not None,
        )

    async with here.db.platform() as session:
        query = select(Alert).where(Alert.subject_id == unreadable[0].id)
        [alert] = (await session.exec(query)).all()
    assert alert.severity == Severity.CRITICAL
    assert "re_0" in alert.message


async def after_a_round(
    world: World, event: StripeEventReceived
) -> StripeEventReceived:
    await world.wired.stripe_watch.events()
    return await world.read(StripeEventReceived, event.id)
