"""The numbers of the first page are those of the rows in the caller's sight."""

from datetime import timedelta
from uuid import uuid4

import httpx

from models.base import utc_now
from models.database import Database
from models.servers import Server
from models.states import JobStatus, ServiceStatus
from models.users import Role
from tests.api import rows
from tests.api.conftest import LogIn


async def summary(client: httpx.AsyncClient) -> dict[str, object]:
    answer = await client.get("/api/dashboard/summary")
    assert answer.status_code == 200, answer.text
    told: dict[str, object] = answer.json()
    return told


async def test_it_counts_what_is_in_use_and_how_the_work_goes(
    db: Database, log_in: LogIn
) -> None:
    buyer, bought = rows.customer(), rows.product()
    live = rows.subscription(buyer, bought)
    gone = rows.subscription(buyer, bought, ServiceStatus.TERMINATED)
    sites = [
        rows.website(live, ServiceStatus.SUSPENDED),
        rows.website(gone, ServiceStatus.TERMINATED),
    ]
    states = [
        JobStatus.WAITING,
        JobStatus.PENDING,
        JobStatus.RUNNING,
        JobStatus.UNDOING,
        JobStatus.NEEDS_ATTENTION,
        JobStatus.SUCCEEDED,
        JobStatus.CANCELLED,
    ]
    jobs = [rows.job(status=state) for state in states]
    for days in (1, 29, 31):
        ended = utc_now() - timedelta(days=days)
        jobs.append(rows.job(status=JobStatus.FAILED, ended_at=ended))
    server = Server(
        name="srv1",
        ssh_host="127.0.0.1",
        ssh_port=22,
        host_key="ssh-ed25519 none",
        http_address="127.0.0.1:80",
        public_ip="127.0.0.1",
        capacity=10,
    )
    await rows.add(db, buyer, bought, live, gone, *sites, *jobs, server)

    assert await summary(await log_in(Role.VIEWER)) == {
        "customers": 1,
        "subscriptions": 1,
        "websites": 1,
        "servers": 1,
        "unpaidInvoices": 0,
        "provisioningTasks": {
            "pending": 2,
            "running": 2,
            "needsAttention": 1,
            "failed": 2,
        },
    }


async def test_another_tenants_rows_are_not_counted(
    db: Database, log_in: LogIn
) -> None:
    buyer = rows.customer(rows.OTHER)
    failed = rows.job(rows.OTHER, status=JobStatus.FAILED, ended_at=utc_now())
    await rows.add(db, rows.other_tenant(), buyer, rows.customer(), failed)
    await rows.add(db, rows.job(subject_id=uuid4()))

    theirs = await summary(await log_in(Role.VIEWER, tenant_id=rows.OTHER))
    everybody = await summary(await log_in(Role.SUPER_ADMIN))

    assert (theirs["customers"], theirs["servers"]) == (1, 0)
    assert theirs["provisioningTasks"] == {
        "pending": 0,
        "running": 0,
        "needsAttention": 0,
        "failed": 1,
    }
    assert everybody["customers"] == 2
