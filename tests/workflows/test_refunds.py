"""Refunds that Stripe refuses for good: what is given back already is taken over, and
of the rest a person says that it is."""

from typing import Any

import pytest

from api.services.decisions import issue_code
from models.audit import AuditEvent
from models.jobs import Decision, Job
from models.orders import Order
from models.payments import PaymentClaim, PaymentRefund
from models.states import (
    Act,
    JobKind,
    JobStatus,
    OrderStatus,
    Reason,
    RefundStatus,
)
from tests.judge import balanced
from tests.workflows.operator import (
    OPERATOR,
    abort_item,
    abort_order,
    refunds,
    retry,
    skip,
    timeline,
)
from tests.workflows.paths import rows
from tests.workflows.shop import LINES, PRICE, buy, settled, waiting
from tests.workflows.test_signals import run_of
from tests.world import World

NO_RECORD = {"kind": "reject", "op": "PATCH *"}


async def test_what_was_given_back_in_the_dashboard_is_taken_over_by_itself(
    here: World,
) -> None:
    order, job = await parked(here)
    await by_hand(here, order)

    await abort_order(here, job)

    ended, order = await settled(here, order)
    assert (ended.status, order.status) == (JobStatus.FAILED, OrderStatus.FAILED)
    assert await refunds(here, order) == [PRICE], "given back once"
    (row,) = await rows(here, PaymentRefund, order_id=order.id)
    (told,) = await rows(here, AuditEvent, action="refund.adopted")
    assert (row.status, told.entity_id) == (RefundStatus.MADE, str(row.id))
    assert (told.details["amount"], told.details["byHand"]) == (PRICE, PRICE)
    assert told.details["stripeRefundId"] == row.stripe_refund_id
    assert (await balanced(here)).by_hand == 0


async def test_of_what_was_given_back_in_part_the_rest_follows(here: World) -> None:
    order, job = await parked(here)
    await by_hand(here, order, amount=1000)

    await abort_order(here, job)

    _, order = await settled(here, order)
    assert order.status == OrderStatus.FAILED
    assert await refunds(here, order) == [1000, PRICE - 1000]
    (told,) = await rows(here, AuditEvent, action="refund.adopted")
    assert told.details["byHand"] == 1000
    await balanced(here)


async def test_a_part_that_leaves_enough_is_no_refund_of_ours(here: World) -> None:
    """It may be a courtesy; the books tell of it, and nothing is held back."""
    order, job = await parked(here, times=1)
    await by_hand(here, order, amount=100)
    backups = (await here.jobs(order))[JobKind.BACKUPS_ENABLE]

    await abort_item(here, backups)
    await retry(here, job)

    _, order = await settled(here, order)
    assert order.status == OrderStatus.PARTIALLY_FULFILLED
    assert await refunds(here, order) == [100, LINES[0]]
    with pytest.raises(AssertionError, match="Stripe refunded 599, we wrote 499"):
        await balanced(here, within=0)


@pytest.mark.parametrize("whole", [True, False], ids=["order", "item"])
async def test_a_disputed_payment_is_settled_by_a_persons_word(
    here: World, whole: bool
) -> None:
    order, job = await parked(here)
    intent = await payment_of(here, order)
    await here.control("stripe", "POST", "dispute", json={"payment_intent": intent})
    await (abort_order if whole else abort_item)(here, job)
    root = await here.parked(await here.job_of(order))
    step = "refund_order" if whole else "refund_undone"
    assert (root.step, root.reason) == (step, Reason.REJECTED)
    assert root.error_code == "charge_disputed"

    await skip(here, root)

    ended, order = await settled(here, order)
    assert order.status == OrderStatus.FAILED, "it ends as if it had been paid back"
    assert ended.status == (JobStatus.FAILED if whole else JobStatus.SUCCEEDED)
    assert await refunds(here, order) == []
    made = await rows(here, PaymentRefund, order_id=order.id)
    assert {one.status for one in made} == {RefundStatus.SETTLED}
    assert sum(one.amount for one in made) == PRICE
    (decision,) = await rows(here, Decision, job_id=root.id, act=Act.SKIP)
    told = await rows(here, AuditEvent, action="refund.settled")
    assert {one.entity_id for one in told} == {str(one.id) for one in made}
    assert sum(one.details["amount"] for one in told) == PRICE
    assert {(one.actor, one.reason) for one in told} == {
        (OPERATOR.author, decision.why)
    }
    sums = await balanced(here)
    assert (sums.claimed, sums.by_hand) == (PRICE, PRICE), "told, and no alarm"
    await here.until(
        lambda: timeline(here, root), lambda lines: lines[step] == "succeeded"
    )


async def test_a_refund_is_settled_by_a_signal_with_its_users_code(
    here: World,
) -> None:
    order, job = await parked(here)
    refusal = {"kind": "reject", "op": "POST /v1/refunds", "times": 10_000}
    await here.fault("stripe", refusal | {"code": "balance_insufficient"})
    await abort_order(here, job)
    root = await here.parked(await here.job_of(order))
    async with here.db.tenant(root.tenant_id) as session:
        code = (await issue_code(session, OPERATOR, root.id, Act.SKIP)).code

    await run_of(here, root).signal("decide", {"act": "skip", "code": code})

    _, order = await settled(here, order)
    assert order.status == OrderStatus.FAILED
    (row,) = await rows(here, PaymentRefund, order_id=order.id)
    assert row.status == RefundStatus.SETTLED
    # Whoever gives it back in the dashboard afterwards makes the books exact.
    await here.fault("stripe")
    assert (await balanced(here)).by_hand == PRICE
    await by_hand(here, order)
    assert (await balanced(here)).by_hand == 0


async def parked(here: World, *, times: int = 10_000) -> tuple[Order, Job]:
    """An order whose website waits for a person."""
    await here.fault("powerdns", NO_RECORD | {"times": times})
    order = await buy(here)
    return order, await waiting(here, order)


async def by_hand(here: World, order: Order, **given: Any) -> None:
    """Somebody presses Refund in Stripe's dashboard."""
    await here.stripe("refunds", payment_intent=await payment_of(here, order), **given)


async def payment_of(here: World, order: Order) -> str:
    (claim,) = await rows(here, PaymentClaim, order_id=order.id)
    return str(claim.stripe_payment_intent_id)
