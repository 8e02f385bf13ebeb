"""What people may ask of websites."""

import asyncio
from dataclasses import dataclass
from uuid import UUID, uuid4

import httpx
import pytest
from sqlmodel import select

from models.customers import Customer
from models.database import Database
from models.jobs import Job
from models.products import Product
from models.states import BackupStatus, JobKind, JobStatus, ServiceStatus
from models.subscriptions import Subscription
from models.users import Role
from models.websites import Website
from tests.api import rows
from tests.api.conftest import PLATFORM_DOMAIN, LogIn


@dataclass(frozen=True)
class Account:
    """A customer with one active subscription."""

    customer: Customer
    product: Product
    subscription: Subscription

    def order(self, domain: str = "example.com") -> dict[str, str]:
        """The body that asks for a website."""
        return {
            "customerId": str(self.customer.id),
            "subscriptionId": str(self.subscription.id),
            "domain": domain,
        }


@pytest.fixture
async def account(db: Database) -> Account:
    customer, product = rows.customer(), rows.product()
    subscription = rows.subscription(customer, product)
    await rows.add(db, customer, product, subscription)
    return Account(customer, product, subscription)


@pytest.fixture
async def website(db: Database, account: Account) -> Website:
    made = rows.website(account.subscription)
    await rows.add(db, made)
    return made


async def jobs(db: Database) -> list[Job]:
    async with db.platform() as session:
        return list((await session.exec(select(Job))).all())


async def set_status(db: Database, website: Website, status: ServiceStatus) -> None:
    async with db.platform() as session:
        (await session.get_one(Website, website.id)).status = status
        await session.commit()


async def test_a_website_is_pending_and_its_job_is_there(
    db: Database, account: Account, operator: httpx.AsyncClient
) -> None:
    response = await operator.post("/api/websites", json=account.order("Example.COM."))

    assert response.status_code == 201
    made = response.json()
    assert (made["status"], made["domain"]) == ("pending", "example.com")
    (job,) = await jobs(db)
    assert (job.kind, job.status) == (JobKind.WEBSITE_PROVISION, JobStatus.PENDING)
    assert str(job.subject_id) == made["id"]
    assert job.requested_by is not None


async def test_a_subscription_has_one_living_website(
    db: Database, account: Account, operator: httpx.AsyncClient
) -> None:
    answers = await asyncio.gather(
        *(
            operator.post("/api/websites", json=account.order(f"{name}.example.com"))
            for name in "abcde"
        )
    )

    assert sorted(one.status_code for one in answers) == [201, 409, 409, 409, 409]
    assert len(await jobs(db)) == 1


async def test_a_failed_website_makes_room_for_another(
    db: Database, account: Account, website: Website, operator: httpx.AsyncClient
) -> None:
    await set_status(db, website, ServiceStatus.FAILED)

    response = await operator.post("/api/websites", json=account.order())

    assert response.status_code == 201


async def test_a_website_that_was_given_up_costs_its_customer_no_subscription(
    db: Database, account: Account, operator: httpx.AsyncClient
) -> None:
    await operator.post("/api/websites", json=account.order("mistyped.example"))
    (job,) = await jobs(db)
    reason = {"reason": "the name is mistyped", "scope": "item"}
    aborted = await operator.post(f"/api/jobs/{job.id}/abort", json=reason)
    assert aborted.is_success, aborted.text

    response = await operator.post("/api/websites", json=account.order())

    assert response.status_code == 201, response.text


@pytest.mark.parametrize(
    "domain",
    [
        "nodots",
        "-a.example.com",
        "a b.example.com",
        "ex\0ample.com",
        "a" * 64 + ".com",
        PLATFORM_DOMAIN,
        f"other.{PLATFORM_DOMAIN}",
    ],
)
async def test_a_name_that_cannot_be_is_refused(
    db: Database, account: Account, operator: httpx.AsyncClient, domain: str
) -> None:
    response = await operator.post("/api/websites", json=account.order(domain))

    assert response.status_code == 422
    assert response.json()["error"]["details"]["field"] == "domain"
    assert await jobs(db) == []


async def test_a_domain_in_use_is_not_given_again(
    db: Database, account: Account, website: Website, operator: httpx.AsyncClient
) -> None:
    second = rows.subscription(account.customer, account.product)
    await rows.add(db, second)
    body = account.order(website.domain) | {"subscriptionId": str(second.id)}

    response = await operator.post("/api/websites", json=body)

    assert response.status_code == 409
    assert response.json()["error"]["details"]["websiteId"] == str(website.id)


async def test_the_subscription_must_be_active_and_the_customers_own(
    db: Database, account: Account, operator: httpx.AsyncClient
) -> None:
    ended = rows.subscription(
        account.customer, account.product, ServiceStatus.TERMINATED
    )
    add_on = rows.product(delivers={"kind": "backups", "days": 30, "needs": "website"})
    other = rows.customer()
    backups = rows.subscription(account.customer, add_on)
    await rows.add(db, ended, add_on, other, backups)

    for change, status in (
        ({"subscriptionId": str(ended.id)}, 409),
        ({"subscriptionId": str(backups.id)}, 422),
        ({"customerId": str(other.id)}, 422),
        ({"customerId": str(uuid4())}, 404),
    ):
        body = account.order() | change
        response = await operator.post("/api/websites", json=body)
        assert response.status_code == status, change
    assert await jobs(db) == []


ACTS = {
    "suspend": ("POST", "/suspend", JobKind.WEBSITE_SUSPEND),
    "delete": ("DELETE", "", JobKind.WEBSITE_DELETE),
    "backup": ("POST", "/backups", JobKind.WEBSITE_BACKUP),
}


@pytest.mark.parametrize("act", ACTS)
async def test_an_act_is_a_job(
    db: Database, website: Website, operator: httpx.AsyncClient, act: str
) -> None:
    method, path, kind = ACTS[act]

    response = await operator.request(method, f"/api/websites/{website.id}{path}")

    assert response.status_code == 202
    (job,) = await jobs(db)
    assert job.kind == kind
    assert response.json() == {
        "id": str(website.id),
        "status": "active",
        "jobId": str(job.id),
        "jobStatus": "pending",
    }


async def test_of_all_acts_at_once_one_is_taken_and_the_others_are_told_which(
    db: Database, website: Website, operator: httpx.AsyncClient
) -> None:
    answers = await asyncio.gather(
        *(
            operator.request(method, f"/api/websites/{website.id}{path}")
            for method, path, _ in (*ACTS.values(), *ACTS.values())
        )
    )

    assert sorted(one.status_code for one in answers) == [202, 409, 409, 409, 409, 409]
    (job,) = await jobs(db)
    for refused in (one for one in answers if one.status_code == 409):
        told = refused.json()["error"]
        assert told["code"] == "JOB_OPEN"
        assert told["details"] == {"jobId": str(job.id), "status": "pending"}


@pytest.mark.parametrize(
    ("act", "status"),
    [
        ("suspend", ServiceStatus.SUSPENDED),
        ("resume", ServiceStatus.ACTIVE),
        ("resume", ServiceStatus.TERMINATED),
        ("suspend", ServiceStatus.PENDING),
        ("backups", ServiceStatus.SUSPENDED),
    ],
)
async def test_the_state_forbids_what_makes_no_sense(
    db: Database,
    website: Website,
    operator: httpx.AsyncClient,
    act: str,
    status: ServiceStatus,
) -> None:
    await set_status(db, website, status)

    response = await operator.post(f"/api/websites/{website.id}/{act}")

    assert response.status_code == 409
    assert response.json()["error"]["code"] == "WRONG_STATE"
    assert response.json()["error"]["details"] == {"status": status}
    assert await jobs(db) == []


async def test_a_suspended_website_is_resumed(
    db: Database, website: Website, operator: httpx.AsyncClient
) -> None:
    await set_status(db, website, ServiceStatus.SUSPENDED)

    response = await operator.post(f"/api/websites/{website.id}/resume")

    assert response.status_code == 202
    assert [job.kind for job in await jobs(db)] == [JobKind.WEBSITE_RESUME]


async def test_a_stored_backup_of_this_website_is_restored(
    db: Database, account: Account, website: Website, operator: httpx.AsyncClient
) -> None:
    elsewhere = rows.website(account.subscription)
    stored, running = rows.backup(website), rows.backup(website, BackupStatus.RUNNING)
    foreign = rows.backup(elsewhere)
    await rows.add(db, elsewhere, stored, running, foreign)

    async def restore(backup_id: UUID) -> int:
        response = await operator.post(
            f"/api/websites/{website.id}/restore", json={"backupId": str(backup_id)}
        )
        return response.status_code

    assert await restore(running.id) == 409
    assert await restore(foreign.id) == 404
    assert await jobs(db) == []
    assert await restore(stored.id) == 202
    (job,) = await jobs(db)
    assert job.input == {"backup_id": str(stored.id)}


async def test_a_viewer_changes_nothing(
    db: Database, account: Account, website: Website, log_in: LogIn
) -> None:
    viewer = await log_in(Role.VIEWER)
    where = f"/api/websites/{website.id}"

    for method, path, body in (
        ("POST", "/api/websites", account.order()),
        ("DELETE", where, None),
        ("POST", f"{where}/suspend", None),
        ("POST", f"{where}/resume", None),
        ("POST", f"{where}/backups", None),
        ("POST", f"{where}/restore", {"backupId": str(uuid4())}),
    ):
        response = await viewer.request(method, path, json=body)
        assert response.status_code == 403, path
        assert response.json()["error"]["code"] == "FORBIDDEN"
    assert (await viewer.get(where)).status_code == 200
    assert await jobs(db) == []
