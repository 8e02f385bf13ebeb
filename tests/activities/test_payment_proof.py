"""Which payment proves an order: by example, and over drawn sets of payments."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.payment_proof import WINDOW, Due, accept, judge
from activities.payments import Payment

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DUE = Due(
    order_id=UUID(int=1),
    customer_id="cus_1",
    amount=5498,
    currency="USD",
    placed_at=NOW,
)


def payment(id: str = "pi_1", **changed: object) -> Payment:
    fields: dict[str, object] = {
        "id": id,
        "customer_id": "cus_1",
        "amount": 5498,
        "amount_received": 5498,
        "currency": "usd",
        "status": "succeeded",
        "created_at": NOW,
        "order_reference": None,
        "amount_refunded": 0,
        "disputed": False,
        "invoice_id": None,
        "charge_id": "ch_1",
    }
    return Payment(**(fields | changed))  # type: ignore[arg-type]


def test_the_exact_payment_of_the_same_customer_proves_it() -> None:
    assert judge(DUE, [payment()], set()).payment == payment()


def test_of_several_that_fit_the_oldest_is_taken() -> None:
    older = payment("pi_2", created_at=NOW - timedelta(minutes=1))

    assert judge(DUE, [payment(), older], set()).payment == older


def test_our_reference_proves_it_however_late_it_comes() -> None:
    late = payment(
        customer_id=None,
        order_reference=str(DUE.order_id),
        created_at=NOW + timedelta(days=9),
    )

    assert judge(DUE, [late], set()).payment == late


@pytest.mark.parametrize(
    "changed",
    [
        {"status": "processing"},
        {"customer_id": "cus_2"},
        {"invoice_id": "in_1"},
        {"amount_refunded": 1},
        {"disputed": True},
        {"order_reference": str(UUID(int=2))},
        {"created_at": NOW - WINDOW - timedelta(seconds=1)},
        {"created_at": NOW + WINDOW + timedelta(seconds=1)},
    ],
)
def test_what_does_not_concern_the_order_leaves_it_waiting(
    changed: dict[str, object],
) -> None:
    proof = judge(DUE, [payment(**changed)], set())

    assert proof.payment is None
    assert proof.ambiguous is None
    assert proof.missing


@pytest.mark.parametrize(
    "changed",
    [{"amount_received": 5497}, {"amount_received": 5499}, {"currency": "eur"}],
)
@pytest.mark.parametrize("reference", [None, str(DUE.order_id)])
def test_what_is_near_is_for_a_person(
    changed: dict[str, object], reference: str | None
) -> None:
    proof = judge(DUE, [payment(order_reference=reference, **changed)], set())

    assert proof.payment is None
    assert "pi_1" in (proof.ambiguous or "")


def test_a_claimed_payment_proves_nothing() -> None:
    assert judge(DUE, [payment()], {"pi_1"}).payment is None


def test_a_payment_that_a_person_named_is_taken_whatever_its_amount() -> None:
    odd = payment(amount_received=1, customer_id="cus_2", currency="eur")

    assert accept("pi_1", [odd], set()).payment == odd


@pytest.mark.parametrize(
    ("changed", "claimed", "why"),
    [
        ({}, {"pi_1"}, "claimed"),
        ({"invoice_id": "in_1"}, set(), "invoice"),
        ({"status": "canceled"}, set(), "canceled"),
        ({"disputed": True}, set(), "disputed"),
        ({"amount_refunded": 1}, set(), "refunded"),
        ({"id": "pi_2"}, set(), "knows no payment"),
    ],
)
def test_a_named_payment_must_still_be_whole_and_free(
    changed: dict[str, object], claimed: set[str], why: str
) -> None:
    proof = accept("pi_1", [payment(**changed)], claimed)

    assert proof.payment is None
    assert why in (proof.ambiguous or "")


payments = st.lists(
    st.builds(
        payment,
        id=st.uuids().map(str),
        amount_received=st.sampled_from([5498, 5498, 5497, 1]),
        currency=st.sampled_from(["usd", "usd", "eur"]),
        status=st.sampled_from(["succeeded", "succeeded", "processing", "canceled"]),
        customer_id=st.sampled_from(["cus_1", "cus_1", "cus_2", None]),
        amount_refunded=st.sampled_from([0, 0, 0, 5498]),
        disputed=st.sampled_from([False, False, True]),
        invoice_id=st.sampled_from([None, None, "in_1"]),
        order_reference=st.sampled_from([None, str(DUE.order_id), str(UUID(int=2))]),
        created_at=st.timedeltas(timedelta(days=-3), timedelta(days=3)).map(
            lambda off: NOW + off
        ),
    ),
    max_size=6,
)


@given(payments, st.data())
def test_never_is_a_payment_taken_that_is_not_wholly_ours(
    drawn: list[Payment], data: st.DataObject
) -> None:
    claimed = set(
        data.draw(st.lists(st.sampled_from(drawn).map(lambda p: p.id))) if drawn else []
    )

    proof = judge(DUE, drawn, claimed)

    said = [proof.payment is not None, bool(proof.ambiguous), bool(proof.missing)]
    assert said.count(True) == 1
    if taken := proof.payment:
        assert taken.id not in claimed
        assert taken.status == "succeeded"
        assert (taken.amount_received, taken.currency) == (5498, "usd")
        assert not taken.amount_refunded
        assert not taken.disputed
        assert taken.invoice_id is None
        if taken.order_reference:
            assert taken.order_reference == str(DUE.order_id)
        else:
            assert taken.customer_id == "cus_1"


@given(payments)
def test_the_order_of_the_list_does_not_matter(drawn: list[Payment]) -> None:
    assert judge(DUE, drawn, set()) == judge(DUE, drawn[::-1], set())
