"""What waits for people: why, whose it is, what exists, and what each act would do."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text
from sqlmodel import select

from models.alerts import Alert
from models.base import utc_now
from models.database import Database
from models.effects import Effect
from models.inbox import StripeEventReceived
from models.jobs import Decision, Job, JobStep
from models.orders import Order
from models.payments import PaymentClaim, PaymentRefund, UnclaimedPayment
from models.states import (
    Act,
    EffectState,
    JobKind,
    JobStatus,
    OrderStatus,
    Reason,
    RefundStatus,
    StepStatus,
    UnclaimedStatus,
)
from models.tenants import MIGRAHOSTING
from models.users import Role
from tests.api import rows
from tests.api.conftest import LogIn
from tests.api.shop import buy, order, stock

INBOX = "/api/operator/inbox"


@dataclass(frozen=True)
class Placed:
    """An order with hosting and backups, as the webhook made it."""

    order_id: UUID
    root: UUID
    website: UUID
    backups: UUID
    payment: str


Place = Callable[..., Awaitable[Placed]]


@pytest.fixture
async def place(db: Database, api: httpx.AsyncClient) -> Place:
    await stock(db)

    async def place(**changes: Any) -> Placed:
        """A paid order whose lines have begun."""
        key = uuid4().hex[:8]
        given = {
            "customerEmail": f"{key}@example.com",
            "stripeCustomerId": f"cus_{key}",
        }
        body = (await buy(api, order(**given | changes), idempotency_key=key)).json()
        website, backups = (UUID(task["id"]) for task in body["tasks"])
        placed = Placed(
            UUID(body["orderId"]), UUID(body["jobId"]), website, backups, f"pi_{key}"
        )
        await put(db, placed.root, JobStatus.RUNNING)
        async with db.platform() as session:
            bought = await session.get_one(Order, placed.order_id)
            bought.status = OrderStatus.FULFILLING
            session.add(
                PaymentClaim(
                    tenant_id=MIGRAHOSTING,
                    stripe_payment_intent_id=placed.payment,
                    stripe_charge_id=placed.payment.replace("pi_", "ch_"),
                    order_id=placed.order_id,
                    amount=bought.total,
                    currency="usd",
                )
            )
            await session.commit()
        return placed

    return place


@pytest.fixture
async def operator(log_in: LogIn) -> httpx.AsyncClient:
    return await log_in(Role.OPERATOR)


async def put(db: Database, job_id: UUID, status: JobStatus, **values: Any) -> None:
    """The job as the worker would have left it."""
    async with db.platform() as session:
        job = await session.get_one(Job, job_id)
        job.status, job.started_generation = status, job.generation
        for name, value in values.items():
            setattr(job, name, value)
        await session.commit()


async def park(db: Database, job_id: UUID, **values: Any) -> None:
    """It waits at `create_site`, since the hosting server refuses our key."""
    given = {
        "step": "create_site",
        "reason": Reason.REJECTED,
        "message": "hosting: the server refuses our client key",
        "provider": "hosting",
        "error_class": "rejected",
        "error_code": "key_refused",
    }
    values = given | values
    await put(db, job_id, JobStatus.NEEDS_ATTENTION, **values)
    await rows.add(
        db,
        JobStep(
            tenant_id=MIGRAHOSTING,
            job_id=job_id,
            name=values["step"],
            status=StepStatus.PARKED,
            generation=1,
            scheduled_at=utc_now(),
            tried_at=utc_now(),
            phase=1,
            tries=1,
            code=values["reason"],
            message=values["message"],
        ),
    )


async def made(db: Database, job_id: UUID, kind: str, **values: Any) -> Effect:
    """Something the job has at a provider."""
    async with db.platform() as session:
        job = await session.get_one(Job, job_id)
    given = {
        "provider": {"site": "cloudpanel", "record": "powerdns"}[kind],
        "reference": str(uuid4()),
        "account": "srv1" if kind == "site" else "",
        "state": EffectState.PRESENT,
        "remote_id": f"mp{uuid4().hex[:12]}",
        "facts": {"domain": "ada.example", "name": "ada.example"},
    }
    effect = Effect(
        tenant_id=job.tenant_id,
        job_id=job_id,
        owner_id=job.subject_id,
        kind=kind,
        **given | values,
    )
    await rows.add(db, effect)
    return effect


async def get(client: httpx.AsyncClient, path: str, **params: Any) -> Any:
    answer = await client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def act(detail: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [one for one in detail["acts"] if one["act"] == name]
    return found


async def test_what_waits_is_grouped_by_cause_the_longest_wait_first(
    db: Database, place: Place, operator: httpx.AsyncClient
) -> None:
    full = [await place() for _ in range(2)]
    refused = await place()
    for one in full:
        await park(db, one.website, error_code="disk_full")
    await park(db, refused.website)

    told = await get(operator, f"{INBOX}/groups")

    assert told["total"] == 3
    assert [(one["cause"]["id"], one["count"]) for one in told["items"]] == [
        ("hosting.rejected.disk_full", 2),
        ("hosting.rejected.credentials", 1),
    ]
    cause = told["items"][0]["cause"]
    assert cause["title"] == "The disk of the hosting server is full"
    assert cause["act"] == "retry"
    assert "Make room" in cause["advice"]
    only = await get(operator, INBOX, cause="hosting.rejected.disk_full", pageSize=1)
    assert only["total"] == 2
    assert [one["job"]["id"] for one in only["items"]] == [str(full[0].website)]
    everything = await get(operator, INBOX)
    assert [one["job"]["id"] for one in everything["items"]] == [
        str(one.website) for one in (*full, refused)
    ]


async def test_two_words_of_a_provider_for_one_cause_are_one_group(
    db: Database, place: Place, operator: httpx.AsyncClient
) -> None:
    for provider in ("hosting", "cloudpanel"):
        placed = await place()
        await park(
            db,
            placed.website,
            reason=Reason.CONFLICT,
            provider=provider,
            error_class="conflict",
            error_code="site_exists",
        )

    (group,) = (await get(operator, f"{INBOX}/groups"))["items"]

    assert (group["cause"]["id"], group["count"]) == ("hosting.conflict", 2)
    assert (await get(operator, INBOX, cause="hosting.conflict"))["total"] == 2


async def test_a_row_names_the_customer_and_the_money_that_was_taken(
    db: Database, place: Place, operator: httpx.AsyncClient
) -> None:
    placed = await place(customerEmail="ada@example.com", domain="ada.example")
    await park(db, placed.website)
    await rows.add(
        db,
        PaymentRefund(
            tenant_id=MIGRAHOSTING,
            key="by hand",
            order_id=placed.order_id,
            stripe_payment_intent_id=placed.payment,
            amount=498,
            currency="usd",
            status=RefundStatus.MADE,
        ),
    )

    (entry,) = (await get(operator, INBOX))["items"]

    assert entry["customer"]["email"] == "ada@example.com"
    assert entry["customer"]["mailUndeliverable"] is False
    assert (entry["taken"], entry["currency"]) == (50.0, "USD")
    assert entry["domain"] == "ada.example"
    assert entry["job"]["message"] == "hosting: the server refuses our client key"
    assert entry["cause"]["title"] == "The hosting server refuses our SSH key"


async def test_a_cloudpods_row_names_its_customer_and_host_and_is_found_by_them(
    db: Database, operator: httpx.AsyncClient
) -> None:
    buyer, plan = rows.customer(email="ada@example.com"), rows.cloudpod_product()
    owned = rows.subscription(buyer, plan)
    pod = rows.cloudpod(owned, plan, ipv4="192.0.2.7")
    job = rows.job(kind=JobKind.CLOUDPOD_RESIZE, subject_id=pod.id)
    await rows.add(db, buyer, plan, owned, pod, job)
    signs = {"provider": "proxmox", "error_class": "down", "error_code": "quorum"}
    await park(db, job.id, reason=Reason.OUT_OF_PATIENCE, **signs)

    (entry,) = (await get(operator, INBOX))["items"]

    assert entry["customer"]["email"] == "ada@example.com"
    assert entry["domain"] == pod.hostname
    assert entry["cause"]["id"] == "proxmox.down.quorum"
    ours = (str(buyer.id), str(owned.id))
    for word in (pod.hostname, "192.0.2.7", "ada@example.com", *ours):
        found = (await get(operator, "/api/operator/find", q=word))["items"]
        assert [one["job"]["id"] for one in found] == [str(job.id)], word


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


async def test_one_act_on_all_of_a_cause_decides_each_by_itself(
    db: Database, place: Place, operator: httpx.AsyncClient
) -> None:
    placed = [await place() for _ in range(3)]
    for one in placed:
        await park(db, one.website)
    other = await place()
    await park(db, other.website, error_code="disk_full")
    await put(db, placed[1].website, JobStatus.NEEDS_ATTENTION, step=None)
    async with db.platform() as session:
        await (await session.connection()).execute(
            text("delete from job_steps where job_id = :id"),
            {"id": placed[1].website},
        )
        await session.commit()
    body = {
        "act": "retry",
        "reason": "the key is back",
        "cause": "hosting.rejected.credentials",
    }

    answers = [await operator.post(f"{INBOX}/decide", json=body) for _ in range(2)]

    first, again = (answer.json() for answer in answers)
    assert (first["decided"], first["refused"]) == (2, 1)
    refused = [one for one in first["items"] if one["refused"]]
    assert [one["jobId"] for one in refused] == [str(placed[1].website)]
    assert refused[0]["refused"]["code"] == "WRONG_STATE"
    assert again == first, "a repeat decides nothing anew"
    async with db.platform() as session:
        written = (await session.exec(select(Decision))).all()
    assert {one.job_id for one in written} == {placed[0].website, placed[2].website}
    assert {one.act for one in written} == {Act.RETRY}


async def test_what_is_left_of_a_cause_is_told_and_decided_by_the_same_again(
    db: Database, place: Place, operator: httpx.AsyncClient
) -> None:
    placed = [(await place()).website for _ in range(5)]
    for one in placed:
        await park(db, one)
    cause = "hosting.rejected.credentials"
    body: dict[str, Any] = {"act": "retry", "reason": "x", "cause": cause, "most": 2}

    answers: list[dict[str, Any]] = []
    while not answers or answers[-1]["after"]:
        after = {"after": answers[-1]["after"]} if answers else {}
        answer = await operator.post(f"{INBOX}/decide", json=body | after)
        answers.append(answer.json())

    assert [(one["decided"], one["left"]) for one in answers] == [
        (2, 3),
        (2, 1),
        (1, 0),
    ]
    decided = [one["jobId"] for answer in answers for one in answer["items"]]
    assert decided == [str(one) for one in placed], "the longest wait comes first"


async def test_under_one_key_a_ruling_is_made_once_refusals_and_all(
    db: Database, place: Place, operator: httpx.AsyncClient
) -> None:
    placed = [await place() for _ in range(2)]
    await park(db, placed[1].website)
    ids = [str(uuid4()), str(placed[0].website), str(placed[1].website)]
    body = {"act": "retry", "reason": "x", "jobIds": ids}
    key = {"Idempotency-Key": "one-ruling"}

    answers = [
        await operator.post(f"{INBOX}/decide", json=body, headers=key) for _ in range(2)
    ]

    assert [answer.status_code for answer in answers] == [200, 200]
    first, again = (answer.json() for answer in answers)
    assert first == again
    assert [one["decision"] is not None for one in first["items"]] == [
        False,
        False,
        True,
    ]
    async with db.platform() as session:
        assert len((await session.exec(select(Decision))).all()) == 1


async def test_jobs_or_a_cause_must_be_named_and_not_both(
    operator: httpx.AsyncClient,
) -> None:
    for body in (
        {"act": "retry", "reason": "x"},
        {"act": "retry", "reason": "x", "cause": "a", "jobIds": [str(uuid4())]},
    ):
        answer = await operator.post(f"{INBOX}/decide", json=body)
        assert answer.status_code == 422
        assert "jobIds or a cause" in answer.json()["error"]["message"]


async def test_a_job_is_found_by_whatever_is_at_hand(
    db: Database, place: Place, log_in: LogIn
) -> None:
    root = await log_in(Role.SUPER_ADMIN)
    placed = await place(
        customerEmail="grace@example.com",
        domain="grace.example",
        stripeCustomerId="cus_grace",
    )
    await place()
    effect = await made(db, placed.website, "site")
    async with db.platform() as session:
        website = await session.get_one(Job, placed.website)
        bought = await session.get_one(Order, placed.order_id)
        bought.stripe_checkout_session_id = "cs_grace"
        bought.stripe_payment_intent_id = "pi_hint"
        session.add(
            PaymentRefund(
                tenant_id=MIGRAHOSTING,
                key="k",
                order_id=placed.order_id,
                stripe_payment_intent_id=placed.payment,
                amount=1,
                currency="usd",
                status=RefundStatus.MADE,
                stripe_refund_id="re_grace",
            )
        )
        session.add(
            StripeEventReceived(
                event_id="evt_grace",
                type="payment_intent.succeeded",
                object_id=placed.payment,
            )
        )
        await session.commit()
    both = {str(placed.root), str(placed.website), str(placed.backups)}
    words = {
        str(placed.order_id): both,
        str(bought.customer_id): both,
        "GRACE@example.com": both,
        "grace.example": both,
        "cus_grace": both,
        "cs_grace": both,
        "pi_hint": both,
        placed.payment: both,
        placed.payment.replace("pi_", "ch_"): both,
        "ch_nobody": set(),
        "re_grace": both,
        "evt_grace": both,
        str(placed.website): {str(placed.website)},
        f"website_provision:{placed.website}": {str(placed.website)},
        f"website_provision:{placed.website}:r2": {str(placed.website)},
        str(website.subject_id): {str(placed.website)},
        str(effect.remote_id): {str(placed.website)},
        effect.reference: {str(placed.website)},
        "nobody@example.com": set(),
        "pi_nobody": set(),
        str(uuid4()): set(),
    }

    found = {
        word: {
            one["job"]["id"]
            for one in (await get(root, "/api/operator/find", q=word))["items"]
        }
        for word in words
    }

    assert found == words


async def test_a_word_that_leads_to_no_job_says_what_leads_on(
    db: Database, place: Place, log_in: LogIn
) -> None:
    root, operator = await log_in(Role.SUPER_ADMIN), await log_in(Role.OPERATOR)
    placed = await place()
    nobodys = UnclaimedPayment(
        stripe_payment_intent_id="pi_nobody",
        amount=1999,
        currency="usd",
        paid_at=utc_now(),
    )
    decided = UnclaimedPayment(
        stripe_payment_intent_id="pi_decided",
        amount=1999,
        currency="usd",
        paid_at=utc_now(),
        status=UnclaimedStatus.REFUNDED,
    )
    await rows.add(db, nobodys, decided)

    async def hint(client: httpx.AsyncClient, word: str) -> str:
        told = await get(client, "/api/operator/find", q=word)
        assert told["items"] == [] or told["hint"] is None
        return str(told["hint"] or "")

    assert "19.99 USD. Make the order or the refund of " in await hint(
        root, "pi_nobody"
    )
    assert str(nobodys.id) in await hint(root, "pi_nobody")
    assert "it is refunded" in await hint(root, "pi_decided")
    assert await hint(operator, "pi_nobody") == "", "payments are the platform's"
    for word in ("ch_1", "py_1", "in_1", "sub_1"):
        assert "payment (pi_...) or customer (cus_...)" in await hint(operator, word)
    for word in ("pi_never", placed.payment, "nobody@example.com"):
        assert await hint(root, word) == ""


async def test_another_tenants_jobs_are_neither_listed_nor_found_nor_decided(
    db: Database, place: Place, log_in: LogIn
) -> None:
    placed = await place(customerEmail="grace@example.com")
    await park(db, placed.website)
    await rows.add(db, rows.other_tenant())
    stranger = await log_in(Role.OPERATOR, tenant_id=rows.OTHER)

    assert (await get(stranger, INBOX))["total"] == 0
    assert (await get(stranger, f"{INBOX}/groups"))["items"] == []
    for word in ("grace@example.com", str(placed.order_id), placed.payment):
        assert (await get(stranger, "/api/operator/find", q=word))["total"] == 0
    assert (await stranger.get(f"{INBOX}/{placed.website}")).status_code == 404
    answer = await stranger.post(
        f"{INBOX}/decide",
        json={"act": "retry", "reason": "x", "jobIds": [str(placed.website)]},
    )
    assert answer.json()["items"][0]["refused"]["code"] == "NOT_FOUND"
    by_cause = await stranger.post(
        f"{INBOX}/decide",
        json={"act": "retry", "reason": "x", "cause": "hosting.rejected.credentials"},
    )
    assert by_cause.json()["items"] == []


async def test_what_is_in_doubt_is_listed_and_what_is_under_way_is_not(
    db: Database, place: Place, operator: httpx.AsyncClient
) -> None:
    waits, works = await place(), await place()
    await park(db, waits.website)
    await put(db, works.website, JobStatus.RUNNING)
    unsure = await made(db, waits.website, "site", state=EffectState.INTENDED)
    await made(db, works.website, "site", state=EffectState.INTENDED)
    await rows.add(
        db,
        Alert(
            tenant_id=MIGRAHOSTING,
            cause="orphan",
            subject_id=uuid4(),
            message="the site of mp000000000000 on srv1 carries our mark",
        ),
    )

    told = await get(operator, "/api/operator/orphans")

    assert [one["effect"]["reference"] for one in told["unsure"]["items"]] == [
        unsure.reference
    ]
    assert told["unsure"]["items"][0]["job"]["id"] == str(waits.website)
    assert "mp000000000000" in told["unknown"][0]["message"]


async def test_unclaimed_payments_are_the_platforms(
    db: Database, log_in: LogIn
) -> None:
    await rows.add(
        db,
        UnclaimedPayment(
            stripe_payment_intent_id="pi_nobody",
            amount=1999,
            currency="usd",
            paid_at=utc_now(),
        ),
    )

    told = await get(await log_in(Role.SUPER_ADMIN), "/api/operator/payments")

    assert [one["amount"] for one in told["items"]] == [19.99]
    operator = await log_in(Role.OPERATOR)
    assert (await operator.get("/api/operator/payments")).status_code == 403


async def test_viewers_see_no_inbox(log_in: LogIn) -> None:
    viewer = await log_in(Role.VIEWER)

    for path in (INBOX, f"{INBOX}/groups", f"{INBOX}/{uuid4()}", "/api/operator/find"):
        assert (await viewer.get(path, params={"q": "abc"})).status_code == 403
