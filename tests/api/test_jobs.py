"""What people see of jobs, and how they decide."""

from datetime import timedelta
from uuid import uuid4

import httpx
import pytest

from models.base import utc_now
from models.database import Database
from models.jobs import Job, JobStep
from models.states import JobKind, JobStatus, Reason, StepStatus
from models.users import Role
from tests.api import rows
from tests.api.conftest import LogIn

WORDS = {
    JobStatus.WAITING: "pending",
    JobStatus.PENDING: "pending",
    JobStatus.RUNNING: "running",
    JobStatus.UNDOING: "running",
    JobStatus.NEEDS_ATTENTION: "needs_attention",
    JobStatus.SUCCEEDED: "completed",
    JobStatus.FAILED: "failed",
    JobStatus.CANCELLED: "cancelled",
}


@pytest.fixture
async def parked(db: Database) -> Job:
    """A job whose second step has given up, after a first that went well."""
    began = utc_now()
    job = rows.job(
        status=JobStatus.NEEDS_ATTENTION,
        step="create_site",
        reason=Reason.REJECTED,
        message="cloudpanel: the name is taken",
        started_generation=1,
    )

    def step(name: str, status: StepStatus, tries: int) -> JobStep:
        return JobStep(
            tenant_id=job.tenant_id,
            job_id=job.id,
            name=name,
            status=status,
            generation=1,
            scheduled_at=began,
            tried_at=began,
            phase=2,
            tries=tries,
            started_at=began,
        )

    done = step("place_website", StepStatus.SUCCEEDED, 1)
    waits = step("create_site", StepStatus.PARKED, 3)
    done.ended_at = began + timedelta(seconds=1)
    waits.code, waits.message = "site_exists", "the name is taken"
    waits.created_at = done.created_at + timedelta(seconds=1)
    await rows.add(db, job, done, waits)
    return job


async def test_states_are_told_in_the_words_of_the_contract(
    db: Database, operator: httpx.AsyncClient
) -> None:
    jobs = [rows.job(status=status) for status in JobStatus]
    await rows.add(db, *jobs)

    listed = (await operator.get("/api/jobs", params={"pageSize": 100})).json()

    assert {one["state"]: one["status"] for one in listed["items"]} == WORDS
    for word in set(WORDS.values()):
        found = (await operator.get("/api/jobs", params={"status": word})).json()
        assert {one["status"] for one in found["items"]} == {word}
        assert found["total"] == list(WORDS.values()).count(word)


async def test_a_list_is_read_page_by_page_newest_first(
    db: Database, operator: httpx.AsyncClient
) -> None:
    begin = utc_now()
    jobs = [rows.job(created_at=begin + timedelta(seconds=n)) for n in range(5)]
    await rows.add(db, *jobs)

    seen: list[str] = []
    for page in (1, 2, 3, 4):
        params = {"page": page, "pageSize": 2}
        found = (await operator.get("/api/jobs", params=params)).json()
        assert found["total"] == 5
        seen += [one["id"] for one in found["items"]]

    assert seen == [str(job.id) for job in reversed(jobs)]


async def test_a_list_is_narrowed_by_kind_and_target(
    db: Database, operator: httpx.AsyncClient
) -> None:
    target = uuid4()
    wanted = rows.job(kind=JobKind.WEBSITE_BACKUP, subject_id=target)
    done = JobStatus.SUCCEEDED
    other = rows.job(kind=JobKind.WEBSITE_SUSPEND, subject_id=target, status=done)
    await rows.add(db, wanted, other, rows.job(kind=JobKind.WEBSITE_BACKUP))

    for path in ("/api/jobs", "/api/provisioning/tasks"):
        params = {"type": "website_backup", "targetId": str(target)}
        found = (await operator.get(path, params=params)).json()
        assert [one["id"] for one in found["items"]] == [str(wanted.id)]


@pytest.mark.parametrize(
    "params",
    [
        {"page": "0"},
        {"pageSize": "101"},
        {"page": "1e9"},
        {"type": "coffee"},
        {"targetId": "x"},
    ],
)
async def test_a_wrong_filter_names_its_field(
    operator: httpx.AsyncClient, params: dict[str, str]
) -> None:
    response = await operator.get("/api/jobs", params=params)

    assert response.status_code == 422
    assert response.json()["error"]["details"]["field"] == next(iter(params))


async def test_a_parked_job_says_what_it_waits_for(
    parked: Job, operator: httpx.AsyncClient
) -> None:
    job = (await operator.get(f"/api/jobs/{parked.id}")).json()
    steps = (await operator.get(f"/api/jobs/{parked.id}/steps")).json()

    assert (job["step"], job["reason"]) == ("create_site", "provider_rejected")
    assert job["message"] == "cloudpanel: the name is taken"
    told = [(one["name"], one["status"], one["tries"]) for one in steps["items"]]
    assert told == [("place_website", "succeeded", 1), ("create_site", "parked", 3)]
    assert steps["items"][1]["code"] == "site_exists"


async def test_a_retry_needs_no_words_and_has_an_author(
    parked: Job, operator: httpx.AsyncClient
) -> None:
    response = await operator.post(f"/api/jobs/{parked.id}/retry")

    assert response.status_code == 200
    decision = response.json()["decision"]
    assert (decision["act"], decision["step"]) == ("retry", "create_site")
    listed = (await operator.get(f"/api/jobs/{parked.id}/decisions")).json()
    assert listed == {"items": [decision], "total": 1}
    assert decision["author"].startswith("operator-")
    assert decision["status"] == "recorded"


async def test_an_abort_says_how_much_and_why(
    parked: Job, operator: httpx.AsyncClient
) -> None:
    where = f"/api/jobs/{parked.id}/abort"

    for body in ({}, {"scope": "item"}, {"scope": "all", "reason": "no"}):
        assert (await operator.post(where, json=body)).status_code == 422
    blank = {"scope": "item", "reason": "  "}
    assert (await operator.post(where, json=blank)).status_code == 422

    body = {"scope": "item", "reason": "the customer gave up"}
    response = await operator.post(where, json=body)
    assert response.status_code == 200
    decision = response.json()["decision"]
    assert (decision["act"], decision["why"]) == ("abort_item", body["reason"])


async def test_a_job_that_waits_for_nobody_takes_no_retry(
    db: Database, operator: httpx.AsyncClient
) -> None:
    job = rows.job(status=JobStatus.SUCCEEDED)
    await rows.add(db, job)

    response = await operator.post(f"/api/jobs/{job.id}/retry")

    assert response.status_code == 409
    error = response.json()["error"]
    assert (error["code"], error["details"]) == (
        "WRONG_STATE",
        {"status": "succeeded"},
    )


async def test_a_code_is_shown_once_and_stored_hashed(
    db: Database, parked: Job, operator: httpx.AsyncClient
) -> None:
    response = await operator.post(
        f"/api/jobs/{parked.id}/codes", json={"act": "skip", "step": "create_site"}
    )

    assert response.status_code == 201
    code = response.json()["code"]
    assert len(code) >= 20
    async with db.platform() as session:
        stored = await (await session.connection()).exec_driver_sql(
            "select decision_codes::text from decision_codes"
        )
        (row,) = stored.scalars().all()
    assert code not in row


async def test_a_viewer_sees_everything_and_decides_nothing(
    parked: Job, log_in: LogIn
) -> None:
    viewer = await log_in(Role.VIEWER)
    words = {"scope": "item", "reason": "because", "act": "skip"}

    for act in ("retry", "skip", "abort", "codes"):
        response = await viewer.post(f"/api/jobs/{parked.id}/{act}", json=words)
        assert response.status_code == 403, act
    for part in ("", "/steps", "/decisions"):
        assert (await viewer.get(f"/api/jobs/{parked.id}{part}")).status_code == 200
