"""Two tenants share one API and see nothing of each other."""

from dataclasses import dataclass
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from sqlmodel import select

from models.alerts import Alert
from models.customers import Customer
from models.database import Database
from models.jobs import Job
from models.states import JobKind
from models.users import Role
from models.websites import Website
from tests.api import rows
from tests.api.conftest import LogIn

LISTS = (
    "/api/customers",
    "/api/products",
    "/api/subscriptions",
    "/api/websites",
    "/api/orders",
    "/api/jobs",
    "/api/provisioning/tasks",
    "/api/alerts",
)
# A good body for each of these calls.
WORDS = {
    "backupId": "00000000-0000-4000-8000-000000000009",
    "reason": "because",
    "act": "skip",
    "scope": "item",
}


@dataclass(frozen=True)
class Theirs:
    """What the other tenant has; ids as they stand in paths."""

    customer: Customer
    website: Website
    paths: dict[str, str]


@pytest.fixture
async def theirs(db: Database) -> Theirs:
    buyer = rows.customer(rows.OTHER)
    bought = rows.product(rows.OTHER)
    owned = rows.subscription(buyer, bought)
    website = rows.website(owned)
    job = rows.job(rows.OTHER, kind=JobKind.WEBSITE_BACKUP, subject_id=uuid4())
    order, items = rows.order(buyer, bought)
    alert = Alert(
        tenant_id=rows.OTHER, cause="conflict", subject_id=job.id, message="look"
    )
    backup = rows.backup(website)
    await rows.add(db, rows.other_tenant(), buyer, bought, owned, website, job)
    await rows.add(db, order, *items, alert, backup)
    return Theirs(
        buyer,
        website,
        {
            "/api/customers/{id}": str(buyer.id),
            "/api/products/{id}": str(bought.id),
            "/api/subscriptions/{id}": str(owned.id),
            "/api/websites/{id}": str(website.id),
            "/api/jobs/{id}": str(job.id),
            "/api/orders/{id}": str(order.id),
        },
    )


def about_one(app: FastAPI, theirs: Theirs) -> list[tuple[str, str, str]]:
    """(method, path, id) of every call about one thing of theirs."""
    return [
        (method.upper(), path, known)
        for path, methods in app.openapi()["paths"].items()
        for prefix, known in theirs.paths.items()
        if path == prefix or path.startswith(f"{prefix}/")
        for method in methods
    ]


async def test_foreign_and_unknown_ids_give_the_very_same_404(
    app: FastAPI, theirs: Theirs, log_in: LogIn
) -> None:
    admin = await log_in(Role.ADMIN)
    calls = about_one(app, theirs)
    assert len(calls) > 15

    for method, path, foreign in calls:
        body = {
            "backupId": str(uuid4()),
            "reason": "no",
            "act": "skip",
            "scope": "item",
        }
        sent = None if method == "GET" else body
        unknown = str(uuid4())
        answers: list[httpx.Response] = [
            await admin.request(method, path.replace("{id}", one), json=sent)
            for one in (foreign, unknown)
        ]
        assert [one.status_code for one in answers] == [404, 404], (method, path)
        assert answers[0].text.replace(foreign, unknown) == answers[1].text


@pytest.mark.parametrize("path", LISTS)
async def test_a_list_holds_the_own_rows_only(
    theirs: Theirs, log_in: LogIn, path: str
) -> None:
    ours = await log_in(Role.ADMIN)
    them = await log_in(Role.VIEWER, tenant_id=rows.OTHER)

    assert (await ours.get(path)).json() == {"items": [], "total": 0}
    assert (await them.get(path)).json()["total"] == 1


async def test_a_super_admin_sees_every_tenant(theirs: Theirs, log_in: LogIn) -> None:
    platform = await log_in(Role.SUPER_ADMIN)

    for path in LISTS:
        assert (await platform.get(path)).json()["total"] == 1
    for path, known in theirs.paths.items():
        assert (await platform.get(path.replace("{id}", known))).status_code == 200


async def test_nothing_of_another_tenant_is_written(
    db: Database, theirs: Theirs, log_in: LogIn
) -> None:
    """Its ids in a body open nothing, either."""
    admin = await log_in(Role.ADMIN)
    body = {
        "customerId": str(theirs.customer.id),
        "subscriptionId": str(theirs.website.subscription_id),
        "domain": "stolen.example.com",
    }

    assert (await admin.post("/api/websites", json=body)).status_code == 404
    where = f"/api/websites/{theirs.website.id}"
    assert (await admin.delete(where)).status_code == 404

    async with db.platform() as session:
        assert len((await session.exec(select(Job))).all()) == 1
        assert len((await session.exec(select(Website))).all()) == 1
