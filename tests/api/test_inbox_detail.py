"""What a person sees before deciding: the money, what exists, what each act does."""

import httpx
from sqlmodel import select

from models.database import Database
from models.orders import Order
from models.payments import PaymentClaim, PaymentRefund
from models.states import (
    EffectState,
    OrderStatus,
    Reason,
    RefundStatus,
)
from models.tenants import MIGRAHOSTING
from tests.api import rows
from tests.api.parked import INBOX, Place, act, get, made, park


async def test_a_detail_tells_what_exists_and_what_each_act_would_do(
    db: Database, place: Place, operator: httpx.AsyncClient
) -> None:
    placed = await place()
    await park(db, placed.website)
    await made(db, placed.website, "site", state=EffectState.INTENDED)
    record = await made(db, placed.website, "record")

    told = await get(operator, f"{INBOX}/{placed.website}")

    assert told["money"]["taken"] == 54.98
    assert [(line["code"], line["wouldRefund"]) for line in told["money"]["lines"]] == [
        ("wp_growth", 49.99),
        ("daily_backups_30d", 4.99),
    ]
    assert [(one["kind"], one["state"]) for one in told["effects"]] == [
        ("site", "intended"),
        ("record", "present"),
    ]
    assert told["effects"][1]["remoteId"] == record.remote_id
    assert told["parked"] == ["create_site"]
    assert [one["status"] for one in told["steps"]] == ["parked"]

    retry = act(told, "retry")
    assert retry["allowed"]
    assert retry["would"][0] == (
        "create_site (Create the site on the hosting server) is tried again at once."
    )
    assert "Put the starter page there" in retry["would"][1]
    skip = act(told, "skip")
    assert (skip["allowed"], skip["whyNot"]) == (False, "create_site cannot be skipped")
    item = act(told, "abort_item")
    assert item["allowed"]
    assert item["refund"] == 54.98, "the backups need the website"
    words = " ".join(item["would"])
    assert "Taken back is the DNS record ada.example" in words
    assert "on srv1" in words or "at srv1 (if it is there)" in words
    assert "daily_backups_30d needs it: it has not begun, and is cancelled." in words
    assert f"54.98 USD of {placed.payment} are refunded" in words
    assert "the order ends as failed" in words
    whole = act(told, "abort_order")
    assert (whole["allowed"], whole["refund"]) == (True, 54.98)


async def test_an_order_that_waits_for_its_payment_has_taken_no_money(
    db: Database, place: Place, operator: httpx.AsyncClient
) -> None:
    placed = await place()
    async with db.platform() as session:
        claim = (await session.exec(select(PaymentClaim))).one()
        await session.delete(claim)
        (
            await session.get_one(Order, placed.order_id)
        ).status = OrderStatus.AWAITING_PAYMENT
        await session.commit()
    await park(
        db,
        placed.root,
        step="prove_payment",
        reason=Reason.PAYMENT_AMBIGUOUS,
        provider=None,
        error_class=None,
        error_code="too_much",
        input={
            "unclaimed": [
                {"payment_intent_id": "pi_near", "amount": 5698, "currency": "USD"}
            ]
        },
    )

    told = await get(operator, f"{INBOX}/{placed.root}")

    assert told["cause"]["title"] == "The customer paid too much"
    assert told["money"]["taken"] == 0
    paid = [{"paymentIntentId": "pi_near", "amount": 56.98, "currency": "USD"}]
    assert told["unclaimed"] == told["money"]["unclaimed"] == paid
    (listed,) = (await get(operator, INBOX))["items"]
    assert listed["unclaimed"] == paid
    whole = act(told, "abort_order")
    assert (whole["allowed"], whole["refund"]) == (True, 0)
    assert any("No payment is claimed" in one for one in whole["would"])
    assert any("56.98 USD of pi_near stay at Stripe" in one for one in whole["would"])
    assert any("ends as cancelled" in one for one in whole["would"])
    assert act(told, "abort_item")["whyNot"] == (
        "this job is the order itself: abort the order"
    )


async def test_refunds_are_told_apart_by_what_became_of_them(
    db: Database, place: Place, operator: httpx.AsyncClient
) -> None:
    placed = await place()
    await park(db, placed.website)
    amounts = dict(zip(RefundStatus, (100, 200, 300, 400), strict=True))
    await rows.add(
        db,
        *(
            PaymentRefund(
                tenant_id=MIGRAHOSTING,
                key=str(status),
                order_id=placed.order_id,
                stripe_payment_intent_id=placed.payment,
                amount=amount,
                currency="usd",
                status=status,
            )
            for status, amount in amounts.items()
        ),
    )

    money = (await get(operator, f"{INBOX}/{placed.website}"))["money"]

    assert (money["returning"], money["failed"]) == (1.0, 3.0)
    assert (money["refunded"], money["settled"]) == (6.0, 4.0)
    assert money["taken"] == 48.98
    (entry,) = (await get(operator, INBOX))["items"]
    assert entry["taken"] == money["taken"]


async def test_a_stuck_undo_is_told_as_one_and_is_not_aborted_again(
    db: Database, place: Place, operator: httpx.AsyncClient
) -> None:
    placed = await place()
    await park(db, placed.website)
    aborted = await operator.post(
        f"/api/jobs/{placed.website}/abort", json={"scope": "item", "reason": "asked"}
    )
    assert aborted.status_code == 200
    await park(
        db,
        placed.website,
        step="undo:create_site",
        undoing=True,
        reason=Reason.OUT_OF_PATIENCE,
        error_class="down",
        error_code="network",
    )

    told = await get(operator, f"{INBOX}/{placed.website}")

    assert told["cause"]["id"] == "undo:hosting.down"
    assert told["cause"]["title"].startswith("Undo stuck: ")
    assert told["cause"]["act"] == "retry"
    assert act(told, "retry")["allowed"]
    assert "has aborted it already" in act(told, "abort_item")["whyNot"]
