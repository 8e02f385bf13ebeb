"""What waits for people: grouped by cause, decided one by one or all of a cause."""

from typing import Any
from uuid import uuid4

import httpx
from sqlalchemy import text
from sqlmodel import select

from models.alerts import Alert
from models.base import utc_now
from models.database import Database
from models.jobs import Decision
from models.payments import PaymentRefund, UnclaimedPayment
from models.states import (
    Act,
    EffectState,
    JobKind,
    JobStatus,
    Reason,
    RefundStatus,
)
from models.tenants import MIGRAHOSTING
from models.users import Role
from tests.api import rows
from tests.api.conftest import LogIn
from tests.api.parked import INBOX, Place, get, made, park, put


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
