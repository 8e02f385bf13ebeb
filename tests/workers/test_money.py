"""Each way in which the books may be wrong has its line in `mpanel doctor --money`."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlmodel import select

from activities.payments import Payment
from models.alerts import Alert
from models.base import utc_now
from models.database import Database
from models.payments import PaymentClaim, PaymentRefund, UnclaimedPayment
from models.states import RefundStatus, UnclaimedStatus
from models.tenants import MIGRAHOSTING
from tests.api import rows
from workers.cli.books import _show
from workers.money import Books, NightlyBooks, books

NOW = utc_now()
PAID = Payment(
    id="pi_1",
    customer_id="cus_1",
    amount=5000,
    amount_received=5000,
    currency="usd",
    status="succeeded",
    created_at=NOW - timedelta(days=2),
    order_reference=None,
    amount_refunded=0,
    disputed=False,
    invoice_id=None,
    charge_id="ch_1",
)
GIVEN_BACK = replace(PAID, amount_refunded=700)
WELL = "every cent has its place"


async def claimed(db: Database, **given: Any) -> PaymentClaim:
    """By an order of somebody's."""
    buyer = rows.customer()
    order, _ = rows.order(buyer)
    claim = PaymentClaim(
        tenant_id=MIGRAHOSTING,
        order_id=order.id,
        **{
            "stripe_payment_intent_id": PAID.id,
            "amount": 5000,
            "currency": "usd",
            **given,
        },
    )
    await rows.add(db, buyer, order, claim)
    return claim


async def refunded(
    db: Database, amount: int, status: RefundStatus = RefundStatus.MADE
) -> None:
    await rows.add(
        db,
        PaymentRefund(
            tenant_id=MIGRAHOSTING,
            key=f"{status}:{amount}",
            stripe_payment_intent_id=PAID.id,
            amount=amount,
            currency="usd",
            status=status,
        ),
    )


async def told(
    db: Database, capsys: pytest.CaptureFixture[str], *payments: Payment
) -> tuple[Books, str]:
    """The sums, and what a person reads of them."""
    sums = await books(
        db,
        payments,
        since=NOW - timedelta(days=30),
        young=NOW - timedelta(minutes=30),
    )
    _show(sums)
    return sums, capsys.readouterr().out


async def test_a_claimed_payment_and_its_refund_have_their_place(
    db: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    await claimed(db)
    await refunded(db, 700)

    sums, said = await told(db, capsys, GIVEN_BACK)

    assert sums.balanced
    assert WELL in said
    assert (sums.succeeded, sums.claimed, sums.refunded) == (5000, 4300, 700)


@pytest.mark.parametrize(
    ("payment", "line"),
    [
        (replace(PAID, amount_received=5001), "pi_1 is claimed with another amount"),
        (
            replace(PAID, invoice_id="in_1"),
            "pi_1 is claimed twice: order and invoice",
        ),
        (replace(PAID, id="pi_2"), "pi_2: 5000 belong to nobody"),
        (replace(PAID, id="pi_2"), "pi_1 is claimed, and Stripe does not know it"),
        (GIVEN_BACK, "pi_1: Stripe refunded 700, we wrote 0"),
    ],
)
async def test_what_is_wrong_with_a_payment_is_told(
    db: Database, capsys: pytest.CaptureFixture[str], payment: Payment, line: str
) -> None:
    await claimed(db)

    sums, said = await told(db, capsys, payment)

    assert not sums.balanced
    assert f"✗ {line}" in said.splitlines()
    assert WELL not in said


async def test_a_refund_that_stripe_does_not_know_is_told(
    db: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    await claimed(db)
    await refunded(db, 700)

    _, said = await told(db, capsys, PAID)

    assert "✗ pi_1: Stripe refunded 0, we wrote 700" in said.splitlines()


@pytest.mark.parametrize(("at_stripe", "by_hand"), [(0, 700), (200, 500), (700, 0)])
async def test_what_was_settled_by_hand_is_a_sum_of_its_own_and_no_fault(
    db: Database, capsys: pytest.CaptureFixture[str], at_stripe: int, by_hand: int
) -> None:
    await claimed(db)
    await refunded(db, 700, RefundStatus.SETTLED)

    sums, said = await told(db, capsys, replace(PAID, amount_refunded=at_stripe))

    assert sums.balanced
    assert sums.by_hand == by_hand
    shown = next(line for line in said.splitlines() if "given back by hand" in line)
    assert shown.split()[-1] == f"{by_hand / 100:.2f}"


async def test_more_than_was_settled_by_hand_hides_no_loss(
    db: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    await claimed(db)
    await refunded(db, 100)
    await refunded(db, 500, RefundStatus.SETTLED)

    _, said = await told(db, capsys, GIVEN_BACK)

    assert (
        "✗ pi_1: Stripe refunded 700, we wrote 100, and 500 by hand"
        in said.splitlines()
    )


async def test_what_is_listed_ordered_young_or_an_invoices_is_nobodys_fault(
    db: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    await rows.add(
        db,
        UnclaimedPayment(
            stripe_payment_intent_id="pi_listed",
            amount=5000,
            currency="usd",
            paid_at=NOW,
        ),
        UnclaimedPayment(
            stripe_payment_intent_id="pi_ordered",
            amount=600,
            currency="usd",
            paid_at=NOW,
            status=UnclaimedStatus.ORDERED,
        ),
    )

    sums, _ = await told(
        db,
        capsys,
        replace(PAID, id="pi_listed"),
        replace(PAID, id="pi_ordered", amount_received=600),
        replace(PAID, id="pi_young", created_at=NOW),
        replace(PAID, id="pi_invoice", invoice_id="in_1"),
    )

    assert sums.balanced
    assert (sums.listed, sums.waiting, sums.invoiced) == (5000, 5600, 5000)


async def test_claims_from_before_the_time_looked_at_are_not_missed(
    db: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    await claimed(db, created_at=NOW - timedelta(days=90))

    sums, _ = await told(db, capsys)

    assert sums.balanced


class Account:
    """One payment, which succeeded long after its checkout had begun."""

    def __init__(self, paid: Payment) -> None:
        self._paid = paid

    async def succeeded_since(self, since: datetime) -> list[Payment]:
        return [self._paid] if self._paid.created_at >= since else []

    async def payment(self, payment_intent_id: str) -> Payment | None:
        return self._paid if payment_intent_id == self._paid.id else None


@pytest.mark.parametrize(
    ("known", "alarmed"), [(PAID.id, []), ("pi_2", ["money_identity"])]
)
async def test_at_night_a_claim_on_an_older_payment_is_no_alarm_if_stripe_knows_it(
    db: Database, known: str, alarmed: list[str]
) -> None:
    """A bank debit takes days; so does whoever makes an order on Monday."""
    await claimed(db, created_at=NOW - timedelta(days=28))
    account = Account(replace(PAID, id=known, created_at=NOW - timedelta(days=33)))

    await NightlyBooks(db, account, unclaimed_after=timedelta(minutes=15)).round()

    async with db.platform() as session:
        assert (await session.exec(select(Alert.cause))).all() == alarmed
