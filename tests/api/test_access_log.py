"""One line per request; whose and which, and nothing that was sent."""

from collections.abc import AsyncIterator, Iterator
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Message

from api.app import create_app
from api.settings import ApiSettings
from models.database import Database
from models.tenants import MIGRAHOSTING
from models.users import Role
from tests.api.conftest import LogIn, client_of
from tests.logged import Lines, logged


@pytest.fixture
def lines() -> Iterator[Lines]:
    with logged() as found:
        yield found


@pytest.fixture
async def broken(settings: ApiSettings, db: Database) -> AsyncIterator[FastAPI]:
    """An app with a route that fails."""
    made = create_app(settings)

    @made.get("/api/broken/{id}")
    async def fail(id: str) -> None:
        raise RuntimeError(f"no {id}: password=hunter2")

    async with made.router.lifespan_context(made):
        yield made


async def test_a_line_names_route_status_size_caller_and_request(
    log_in: LogIn, lines: Lines
) -> None:
    admin, secret = await log_in(Role.ADMIN), uuid4()
    answer = await admin.get(f"/api/jobs/{secret}?token=hunter2")

    (line,) = lines.of("request")
    assert UUID(line.pop("caller").removeprefix("user:"))
    assert line.pop("ms") > 0
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "request",
        "level": "info",
        "method": "GET",
        "route": "/api/jobs/{id}",
        "status": 404,
        "bytes": len(answer.content),
        "request_id": answer.headers["X-Request-Id"],
        "tenant_id": str(MIGRAHOSTING),
    }
    assert "hunter2" not in lines.text
    assert str(secret) not in lines.text
    assert admin.headers["Authorization"].split()[1] not in lines.text


async def test_the_next_request_is_nobodys_until_it_logs_in(
    api: httpx.AsyncClient, log_in: LogIn, lines: Lines
) -> None:
    await (await log_in()).get("/api/jobs")
    await api.get("/api/health")

    named, unnamed = lines.of("request")
    assert "caller" in named
    assert unnamed.keys().isdisjoint({"caller", "tenant_id"})
    assert named["request_id"] != unnamed["request_id"]


@pytest.mark.parametrize("given", ["a", "01J-x_y.z", "f" * 64])
async def test_a_callers_own_request_id_is_kept(
    api: httpx.AsyncClient, lines: Lines, given: str
) -> None:
    answer = await api.get("/api/health", headers={"X-Request-Id": given})
    assert answer.headers["X-Request-Id"] == given
    assert lines.of("request")[0]["request_id"] == given


@pytest.mark.parametrize("given", ["", "f" * 65, "a b", 'x","level":"', "\u00e9"])
async def test_one_that_could_forge_a_line_is_replaced(
    api: httpx.AsyncClient, lines: Lines, given: str
) -> None:
    header = {"X-Request-Id": given.encode()}
    answer = await api.get("/api/health", headers=header)
    assert len(answer.headers["X-Request-Id"]) == 32
    assert len(lines.of("request")) == 1


async def test_a_path_that_nobody_serves_has_no_name(
    api: httpx.AsyncClient, lines: Lines
) -> None:
    await api.get("/api/passwords/hunter2")
    assert lines.of("request")[0]["route"] == "unknown"
    assert "hunter2" not in lines.text


async def test_what_broke_is_told_with_its_request_and_without_its_words(
    broken: FastAPI, lines: Lines
) -> None:
    async with client_of(broken) as client:
        answer = await client.get("/api/broken/7")

    (error,), (line,) = lines.of("unexpected_error"), lines.of("request")
    assert answer.status_code == line["status"] == 500
    assert error["request_id"] == line["request_id"] == answer.headers["X-Request-Id"]
    assert error["route"] == line["route"] == "/api/broken/{id}"
    assert "hunter2" not in lines.text


@pytest.mark.parametrize(
    "path", ["/api/provisioning/webhooks/order-created", "/api/payments/stripe/webhook"]
)
async def test_a_caller_who_goes_away_amid_the_body_is_no_error_of_ours(
    app: FastAPI, lines: Lines, path: str
) -> None:
    said: list[Message] = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
        "client": ("127.0.0.1", 9),
        "app": app,
    }

    async def receive() -> Message:
        return said.pop(0) if len(said) > 1 else said[0]

    async def nobody(_: Message) -> None: ...

    await app(scope, receive, nobody)

    assert lines.of("unexpected_error") == []
    (line,) = lines.of("request")
    assert line["status"] == 400
