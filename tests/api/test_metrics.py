"""What the web process tells Prometheus, and whom it tells."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from structlog.testing import capture_logs

from api.app import create_app
from api.settings import ApiSettings
from models.database import Database
from models.states import JobStatus
from models.users import Role
from tests.api import rows
from tests.api.conftest import LogIn, client_of
from tests.conftest import free_port
from tests.scraped import scrape


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def settings(settings: ApiSettings, port: int) -> ApiSettings:
    return settings.model_copy(update={"metrics_port": port})


async def test_requests_are_counted_by_route_method_and_class_of_status(
    api: httpx.AsyncClient, log_in: LogIn, port: int
) -> None:
    admin, before = await log_in(Role.ADMIN), await scrape(port)
    for _ in range(3):
        await admin.get(f"/api/jobs/{uuid4()}")
    await admin.get("/api/jobs?status=running")
    await api.get("/api/jobs")
    await api.get("/nowhere/secret-path")
    await api.request("BREW", "/api/jobs")
    after = await scrape(port)

    def more(method: str, route: str, status: str) -> float:
        labels = {"method": method, "route": route, "status": status}
        name = "mpanel_http_requests_total"
        return after(name, **labels) - before(name, **labels)

    assert more("GET", "/api/jobs/{id}", "4xx") == 3
    assert more("GET", "/api/jobs", "2xx") == 1
    assert more("GET", "/api/jobs", "4xx") == 1
    assert more("GET", "unknown", "4xx") == 1
    assert sum(more("other", route, "4xx") for route in ("unknown", "/api/jobs")) == 1
    timed = "mpanel_http_request_seconds_count"
    labels = {"method": "GET", "route": "/api/jobs/{id}"}
    assert after(timed, **labels) - before(timed, **labels) == 3


async def test_nothing_in_it_names_anybody(
    db: Database, log_in: LogIn, port: int
) -> None:
    await rows.add(db, rows.other_tenant())
    stranger = await log_in(Role.ADMIN, tenant_id=rows.OTHER)
    job = rows.job(rows.OTHER)
    await rows.add(db, job)
    await stranger.get(f"/api/jobs/{job.id}")
    await stranger.post(f"/api/jobs/{job.id}/retry", json={"reason": "canary-reason"})
    told = (await scrape(port)).text

    for secret in (
        str(job.id),
        str(rows.OTHER),
        stranger.headers["Authorization"].split()[1],
        "canary-reason",
        "@example.com",
    ):
        assert secret not in told


async def test_a_cancelled_job_counts_once(
    db: Database, log_in: LogIn, port: int
) -> None:
    job = rows.job(status=JobStatus.PENDING)
    await rows.add(db, job)
    operator, before = await log_in(Role.SUPER_ADMIN), await scrape(port)
    body = {"scope": "item", "reason": "not wanted"}
    for _ in range(2):
        await operator.post(f"/api/jobs/{job.id}/abort", json=body)
    after = await scrape(port)

    name = "mpanel_jobs_ended_total"
    labels = {"kind": str(job.kind), "outcome": "cancelled"}
    assert after(name, **labels) - before(name, **labels) == 1


async def test_the_public_door_tells_nothing(api: httpx.AsyncClient) -> None:
    for path in ("/metrics", "/api/metrics"):
        assert (await api.get(path)).status_code == 404


@pytest.mark.usefixtures("app")
async def test_the_internal_door_has_nothing_else(port: int) -> None:
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False
    ) as client:
        assert (await client.get("/api/health")).status_code == 404
        assert (await client.post("/metrics")).status_code == 404
    for noise in (b"\x16\x03\x01\x00\r\n\r\n", b"x" * 20_000, b""):
        async with connected(port) as (reader, writer):
            writer.write(noise)
            writer.write_eof()
            with contextlib.suppress(ConnectionError):
                assert b"200 OK" not in await reader.read()
    assert await scrape(port)


async def test_a_port_that_is_taken_stops_nobody(
    app: FastAPI, settings: ApiSettings
) -> None:
    second = create_app(settings)
    with capture_logs() as logs:
        async with second.router.lifespan_context(second), client_of(second) as client:
            assert (await client.get("/api/health")).status_code == 200
    assert "metrics_not_served" in {one["event"] for one in logs}


async def test_without_a_port_nobody_listens(
    settings: ApiSettings, port: int, app_url: str
) -> None:
    silent = create_app(
        settings.model_copy(
            update={"metrics_port": None, "database_url": SecretStr(app_url)}
        )
    )
    async with silent.router.lifespan_context(silent):
        with pytest.raises(httpx.ConnectError):
            await scrape(port)


@contextlib.asynccontextmanager
async def connected(
    port: int,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    yield reader, writer
    writer.close()
