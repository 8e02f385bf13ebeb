"""A decision is a row first; no worker and no Temporal is needed for its answer."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlmodel import select

from models.alerts import Alert
from models.backups import BackupPlan
from models.base import utc_now
from models.database import Database
from models.jobs import Decision, DecisionCode, Job, JobStep, code_hash, seen_hash
from models.orders import Order
from models.queries import jobs
from models.states import (
    Act,
    AlertStatus,
    DecisionStatus,
    JobKind,
    JobStatus,
    OrderStatus,
    Reason,
    ServiceStatus,
    StepStatus,
)
from models.subscriptions import Subscription
from models.tenants import MIGRAHOSTING
from models.users import Role
from models.websites import Website
from tests.api.conftest import LogIn
from tests.api.ears import listening
from tests.api.parked import Placed, put
from tests.api.shop import buy, order, stock


@pytest.fixture
async def placed(db: Database, api: httpx.AsyncClient) -> Placed:
    await stock(db)
    body = (await buy(api, order())).json()
    website, backups = (UUID(task["id"]) for task in body["tasks"])
    return Placed(UUID(body["orderId"]), UUID(body["jobId"]), website, backups)


Change = Callable[..., Awaitable[None]]


@pytest.fixture
def change(db: Database) -> Change:
    """Puts a job where the worker would have brought it."""
    return partial(put, db)


@pytest.fixture
async def parked(placed: Placed, change: Change) -> UUID:
    """The website's job, which waits at `create_site`."""
    await change(placed.root, JobStatus.RUNNING)
    await change(
        placed.website,
        JobStatus.NEEDS_ATTENTION,
        step="create_site",
        reason=Reason.CONFLICT,
        message="the name is taken",
    )
    return placed.website


async def decide(
    client: httpx.AsyncClient, job_id: UUID, act: str, **body: Any
) -> httpx.Response:
    return await client.post(
        f"/api/jobs/{job_id}/{act}", json={"reason": "because", **body}
    )


async def abort(
    client: httpx.AsyncClient, job_id: UUID, scope: str = "item"
) -> httpx.Response:
    return await decide(client, job_id, "abort", scope=scope)


async def row(db: Database, table: type[Any], row_id: UUID) -> Any:
    async with db.platform() as session:
        return await session.get_one(table, row_id)


async def decisions(db: Database, job_id: UUID | None = None) -> list[Decision]:
    async with db.platform() as session:
        found = await session.exec(select(Decision).order_by(Decision.created_at))  # type: ignore[arg-type]
        return [one for one in found if job_id in (None, one.job_id)]


async def test_a_retry_is_recorded_with_its_author_and_the_worker_is_woken(
    operator: httpx.AsyncClient, db: Database, parked: UUID, app_url: str
) -> None:
    seen = seen_hash(await row(db, Job, parked))
    async with listening(app_url) as heard:
        answer = await decide(operator, parked, "retry", reason="the name is free")
        assert answer.status_code == 200, answer.text
        assert await heard() == ["decide"]
    (decision,) = await decisions(db)
    assert (decision.act, decision.step) == (Act.RETRY, "create_site")
    assert (decision.why, decision.via) == ("the name is free", "api")
    assert decision.author.startswith("operator-")
    assert decision.verified
    assert (decision.status, decision.seen_hash) == (DecisionStatus.RECORDED, seen)
    assert answer.json()["decision"]["id"] == str(decision.id)


async def test_equal_decisions_get_one_row_and_another_one_is_refused(
    operator: httpx.AsyncClient, db: Database, parked: UUID
) -> None:
    clicks = [decide(operator, parked, "retry") for _ in range(5)]
    answers = await asyncio.gather(*clicks)
    assert {one.status_code for one in answers} == {200}
    assert len({one.json()["decision"]["id"] for one in answers}) == 1
    assert (await decide(operator, parked, "skip")).status_code == 409
    assert len(await decisions(db)) == 1


async def test_several_parked_steps_are_decided_one_by_one(
    operator: httpx.AsyncClient, db: Database, parked: UUID
) -> None:
    async with db.platform() as session:
        session.add(
            JobStep(
                tenant_id=MIGRAHOSTING,
                job_id=parked,
                name="create_record",
                status=StepStatus.PARKED,
                generation=1,
                scheduled_at=utc_now(),
                tried_at=utc_now(),
                phase=1,
                tries=1,
            )
        )
        await session.commit()
    for step, status in (("create_record", 200), (None, 200), ("probe", 409)):
        answer = await decide(operator, parked, "retry", step=step)
        assert answer.status_code == status, answer.text
    assert {one.step for one in await decisions(db)} == {"create_site", "create_record"}


async def test_a_step_that_must_not_be_missing_is_not_skipped(
    operator: httpx.AsyncClient, db: Database, parked: UUID
) -> None:
    answer = await decide(operator, parked, "skip")
    assert answer.status_code == 409
    assert "cannot be skipped" in answer.json()["error"]["message"]
    assert await decisions(db) == []


@pytest.mark.parametrize(
    "status",
    [JobStatus.WAITING, JobStatus.RUNNING, JobStatus.SUCCEEDED, JobStatus.FAILED],
)
async def test_only_a_job_that_waits_for_a_person_is_retried(
    operator: httpx.AsyncClient,
    db: Database,
    placed: Placed,
    change: Change,
    status: JobStatus,
) -> None:
    await change(placed.website, status)
    for act in ("retry", "skip"):
        answer = await decide(operator, placed.website, act)
        assert answer.status_code == 409
        assert answer.json()["error"]["code"] == "WRONG_STATE"
        assert answer.json()["error"]["details"]["status"] == status


@pytest.mark.parametrize("reason", [Reason.RUN_LOST, Reason.RUN_ENDED_OUTSIDE])
async def test_the_retry_of_a_lost_run_is_a_new_generation(
    operator: httpx.AsyncClient,
    db: Database,
    placed: Placed,
    change: Change,
    reason: Reason,
) -> None:
    await change(placed.root, JobStatus.NEEDS_ATTENTION, reason=reason)
    async with db.platform() as session:
        session.add(
            Alert(
                tenant_id=MIGRAHOSTING,
                cause=reason,
                subject_id=placed.root,
                message="gone",
                job_id=placed.root,
            )
        )
        await session.commit()
    assert (await decide(operator, placed.root, "skip")).status_code == 409
    first = await decide(operator, placed.root, "retry")
    again = await decide(operator, placed.root, "retry")
    assert first.json()["decision"]["id"] == again.json()["decision"]["id"]
    job = await row(db, Job, placed.root)
    assert (job.status, job.generation, job.started_generation) == ("pending", 2, 1)
    assert (job.reason, job.step) == (None, None)
    (decision,) = await decisions(db)
    assert (decision.status, decision.generation) == (DecisionStatus.DELIVERED, 2)
    async with db.platform() as session:
        alert = (await session.exec(select(Alert))).one()
    assert alert.status == AlertStatus.RESOLVED


async def test_the_abort_of_a_lost_run_waits_for_the_next_generation(
    operator: httpx.AsyncClient, db: Database, placed: Placed, change: Change
) -> None:
    await change(placed.root, JobStatus.NEEDS_ATTENTION, reason=Reason.RUN_LOST)
    assert (await abort(operator, placed.root, "order")).status_code == 200
    async with db.platform() as session:
        job = await session.get_one(Job, placed.root)
        told = await jobs.open_abort(session, job)
    assert (job.status, job.generation) == (JobStatus.PENDING, 2)
    assert told is not None
    assert (told.act, told.status) == (Act.ABORT_ORDER, DecisionStatus.RECORDED)


async def test_an_expired_order_is_revived_by_a_retry(
    operator: httpx.AsyncClient, db: Database, placed: Placed, change: Change
) -> None:
    await change(
        placed.root,
        JobStatus.FAILED,
        reason=Reason.PAYMENT_EXPIRED,
        started_at=utc_now(),
        ended_at=utc_now(),
    )
    async with db.platform() as session:
        (await session.get_one(Order, placed.order_id)).expire()
        await session.commit()
    answer = await decide(
        operator, placed.root, "retry", correction={"paymentIntentId": "pi_9"}
    )
    assert answer.status_code == 200, answer.text
    job = await row(db, Job, placed.root)
    assert (job.status, job.generation, job.reason) == ("pending", 2, None)
    # The seven days begin anew with the next start.
    assert (job.started_at, job.ended_at) == (None, None)
    assert job.input == {"accepted_payment": "pi_9"}
    revived = await row(db, Order, placed.order_id)
    assert revived.status == OrderStatus.AWAITING_PAYMENT


async def test_an_operator_names_the_payment_of_an_ambiguous_order(
    operator: httpx.AsyncClient, db: Database, placed: Placed, change: Change
) -> None:
    await change(
        placed.root,
        JobStatus.NEEDS_ATTENTION,
        step="prove_payment",
        reason=Reason.PAYMENT_AMBIGUOUS,
    )
    for wrong in ({"paymentIntentId": "ch_1"}, {"amount": "1"}):
        answer = await decide(operator, placed.root, "retry", correction=wrong)
        assert answer.status_code == 422
    named = {"paymentIntentId": "pi_7"}
    answer = await decide(operator, placed.root, "retry", correction=named)
    assert answer.status_code == 200
    assert (await row(db, Job, placed.root)).input == {"accepted_payment": "pi_7"}
    (decision,) = await decisions(db)
    assert decision.correction == named
    other = await decide(
        operator, placed.root, "retry", correction={"paymentIntentId": "pi_8"}
    )
    assert other.status_code == 409


async def test_no_other_step_takes_a_correction(
    operator: httpx.AsyncClient, db: Database, parked: UUID
) -> None:
    answer = await decide(
        operator, parked, "retry", correction={"paymentIntentId": "pi_7"}
    )
    assert answer.status_code == 422
    assert answer.json()["error"]["details"]["field"] == "correction"
    assert (await row(db, Job, parked)).input == {}


async def test_an_order_that_has_not_begun_is_cancelled_on_the_spot(
    operator: httpx.AsyncClient, db: Database, placed: Placed
) -> None:
    # Also when it is asked of one of its lines.
    assert (await abort(operator, placed.backups, "order")).status_code == 200
    for job_id in (placed.root, placed.website, placed.backups):
        assert (await row(db, Job, job_id)).status == JobStatus.CANCELLED
    cancelled = await row(db, Order, placed.order_id)
    assert cancelled.status == OrderStatus.CANCELLED
    async with db.platform() as session:
        for table in (Website, BackupPlan, Subscription):
            found = (await session.exec(select(table))).all()
            assert {one.status for one in found} == {ServiceStatus.FAILED}
    (decision,) = await decisions(db)
    assert (decision.job_id, decision.act) == (placed.root, Act.ABORT_ORDER)
    assert decision.status == DecisionStatus.DELIVERED
    assert (await abort(operator, placed.root, "order")).status_code == 409


async def test_a_line_that_has_not_begun_is_cancelled_with_what_needs_it(
    operator: httpx.AsyncClient, db: Database, placed: Placed, change: Change
) -> None:
    await change(placed.root, JobStatus.RUNNING)
    assert (await abort(operator, placed.website)).status_code == 200
    for job_id in (placed.website, placed.backups):
        assert (await row(db, Job, job_id)).status == JobStatus.CANCELLED
    assert (await row(db, Job, placed.root)).status == JobStatus.RUNNING
    async with db.platform() as session:
        plan = (await session.exec(select(BackupPlan))).one()
    assert plan.status == ServiceStatus.FAILED


async def test_an_add_on_is_cancelled_without_its_website(
    operator: httpx.AsyncClient, db: Database, placed: Placed
) -> None:
    assert (await abort(operator, placed.backups)).status_code == 200
    assert (await row(db, Job, placed.website)).status == JobStatus.WAITING


async def test_the_abort_of_a_running_job_is_left_to_the_worker(
    operator: httpx.AsyncClient, db: Database, parked: UUID
) -> None:
    await decide(operator, parked, "retry")
    first = await abort(operator, parked)
    again = await abort(operator, parked)
    assert first.status_code == again.status_code == 200
    assert first.json()["decision"]["id"] == again.json()["decision"]["id"]
    assert (await row(db, Job, parked)).status == JobStatus.NEEDS_ATTENTION
    last = (await decisions(db, parked))[-1]
    assert (last.act, last.status) == (Act.ABORT_ITEM, DecisionStatus.RECORDED)
    # After an abort nothing else can be wished.
    assert (await decide(operator, parked, "skip")).status_code == 409


async def test_a_delivered_line_is_taken_back_while_its_order_is_open(
    operator: httpx.AsyncClient, db: Database, placed: Placed, change: Change
) -> None:
    await change(placed.root, JobStatus.RUNNING)
    await change(placed.website, JobStatus.SUCCEEDED, ended_at=utc_now())
    await change(placed.backups, JobStatus.SUCCEEDED, ended_at=utc_now())
    assert (await abort(operator, placed.website)).status_code == 200
    for job_id in (placed.website, placed.backups):
        async with db.platform() as session:
            job = await session.get_one(Job, job_id)
            told = await jobs.open_abort(session, job)
        assert (job.status, job.generation) == (JobStatus.PENDING, 2)
        assert told is not None
        assert (told.act, told.why) == (Act.ABORT_ITEM, "because")
        assert told.status == DecisionStatus.RECORDED
    assert len(await decisions(db)) == 2


async def test_a_line_whose_service_another_job_holds_is_not_taken_back(
    operator: httpx.AsyncClient, db: Database, placed: Placed, change: Change
) -> None:
    await change(placed.root, JobStatus.RUNNING)
    await change(placed.website, JobStatus.SUCCEEDED)
    delivered = await row(db, Job, placed.website)
    suspend = Job(
        tenant_id=MIGRAHOSTING,
        kind=JobKind.WEBSITE_SUSPEND,
        subject_id=delivered.subject_id,
    )
    suspending = str(suspend.id)
    async with db.platform() as session:
        session.add(suspend)
        await session.commit()
    answer = await abort(operator, placed.website)
    assert answer.status_code == 409
    assert answer.json()["error"]["details"]["jobId"] == suspending
    assert await decisions(db) == []


async def test_what_is_over_is_not_aborted(
    operator: httpx.AsyncClient, db: Database, placed: Placed, change: Change
) -> None:
    for job_id in (placed.root, placed.website, placed.backups):
        await change(job_id, JobStatus.SUCCEEDED)
    for job_id, scope in (
        (placed.website, "item"),
        (placed.website, "order"),
        (placed.root, "order"),
    ):
        answer = await abort(operator, job_id, scope)
        assert answer.status_code == 409
        assert answer.json()["error"]["details"]["status"] == "succeeded"


async def test_a_job_without_an_order_has_none_to_abort(
    operator: httpx.AsyncClient, db: Database, placed: Placed
) -> None:
    job = Job(tenant_id=MIGRAHOSTING, kind=JobKind.WEBSITE_DELETE, subject_id=uuid4())
    job_id = job.id
    async with db.platform() as session:
        session.add(job)
        await session.commit()
    assert (await abort(operator, job_id, "order")).status_code == 422
    assert (await abort(operator, job_id)).status_code == 200
    assert (await row(db, Job, job_id)).status == JobStatus.CANCELLED


async def test_a_code_is_shown_once_and_bound_to_user_act_and_state(
    operator: httpx.AsyncClient, db: Database, parked: UUID
) -> None:
    answer = await operator.post(
        f"/api/jobs/{parked}/codes", json={"act": "abort_item"}
    )
    assert answer.status_code == 201, answer.text
    async with db.platform() as session:
        code = (await session.exec(select(DecisionCode))).one()
    assert code.code_hash == code_hash(answer.json()["code"])
    assert answer.json()["code"] not in repr(code)
    assert (code.job_id, code.act) == (parked, Act.ABORT_ITEM)
    assert code.seen_hash == seen_hash(await row(db, Job, parked))
    assert 29 * 60 < (code.expires_at - utc_now()).total_seconds() <= 30 * 60
    assert code.used_at is None


async def test_a_job_of_another_tenant_is_not_found_and_a_viewer_decides_nothing(
    log_in: LogIn, db: Database, parked: UUID
) -> None:
    viewer = await log_in(Role.VIEWER)
    assert (await decide(viewer, parked, "retry")).status_code == 403
    assert (await abort(viewer, parked)).status_code == 403
    assert (await decide(await log_in(), uuid4(), "retry")).status_code == 404
    assert await decisions(db) == []
