"""Whatever goes wrong is worded as the surface words it, and tells no secrets."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from api.app import create_app
from api.edge import BODY_LIMIT
from api.settings import ApiSettings
from models.users import Role
from tests.api.conftest import LogIn, client_of
from tests.conftest import free_port

LOGIN = "/api/auth/login"
SECRET = "hunter2-hunter2"


def error(response: httpx.Response, status: int, code: str) -> dict[str, object]:
    """The details of a failure that is worded rightly."""
    assert response.status_code == status
    assert set(response.json()) == {"error"}
    found = response.json()["error"]
    assert set(found) == {"code", "message", "details"}
    assert found["code"] == code
    assert found["message"]
    assert response.headers["x-request-id"]
    details: dict[str, object] = found["details"]
    return details


async def test_malformed_json_is_400(api: httpx.AsyncClient) -> None:
    response = await api.post(
        LOGIN,
        content=b'{"email": ' + SECRET.encode(),
        headers={"content-type": "application/json"},
    )

    error(response, 400, "VALIDATION_ERROR")
    assert SECRET not in response.text


async def test_a_wrong_value_is_422_and_names_the_field_not_the_value(
    api: httpx.AsyncClient,
) -> None:
    response = await api.post(LOGIN, json={"email": [SECRET], "password": SECRET})

    assert error(response, 422, "VALIDATION_ERROR")["field"] == "email"
    assert SECRET not in response.text


async def test_a_wrong_choice_is_told_what_is_allowed(log_in: LogIn) -> None:
    viewer = await log_in(Role.VIEWER)

    response = await viewer.get("/api/jobs", params={"status": "finished"})

    assert error(response, 422, "VALIDATION_ERROR")["field"] == "status"
    assert "'needs_attention'" in response.json()["error"]["message"]


async def test_a_missing_body_is_422(api: httpx.AsyncClient) -> None:
    error(await api.post(LOGIN), 422, "VALIDATION_ERROR")


async def test_a_nul_character_is_refused_rather_than_a_crash(
    api: httpx.AsyncClient, log_in: LogIn
) -> None:
    body = {"email": "a\0b@example.com", "password": "x"}
    error(await api.post(LOGIN, json=body), 422, "VALIDATION_ERROR")

    viewer = await log_in(Role.VIEWER)
    response = await viewer.get("/api/customers", params={"search": "\0"})
    error(response, 422, "VALIDATION_ERROR")
    assert response.json()["error"]["details"]["field"] == "search"


async def test_unknown_paths_and_methods_are_worded_too(api: httpx.AsyncClient) -> None:
    error(await api.get("/api/nothing-here"), 404, "NOT_FOUND")
    error(await api.delete("/api/health"), 405, "METHOD_NOT_ALLOWED")


async def test_a_body_over_256_kib_is_413(api: httpx.AsyncClient) -> None:
    response = await api.post(LOGIN, content=b"x" * (BODY_LIMIT + 1))

    assert error(response, 413, "PAYLOAD_TOO_LARGE")["limit"] == BODY_LIMIT


async def test_an_unannounced_body_over_256_kib_is_413(api: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b" " * (BODY_LIMIT // 4)

    response = await api.post(
        LOGIN, content=chunks(), headers={"content-type": "application/json"}
    )

    assert "content-length" not in response.request.headers
    error(response, 413, "PAYLOAD_TOO_LARGE")


async def test_the_largest_allowed_body_is_read(api: httpx.AsyncClient) -> None:
    response = await api.post(
        LOGIN,
        content=b"{}".ljust(BODY_LIMIT),
        headers={"content-type": "application/json"},
    )

    error(response, 422, "VALIDATION_ERROR")


@pytest.mark.parametrize("path", ["/api/broken", "/broken"])
async def test_our_own_fault_tells_the_request_id_and_nothing_else(
    settings: ApiSettings, capsys: pytest.CaptureFixture[str], path: str
) -> None:
    app = create_app(settings)

    @app.get(path)
    async def broken() -> None:
        raise RuntimeError(SECRET)

    async with app.router.lifespan_context(app), client_of(app) as api:
        response = await api.get(path)

    details = error(response, 500, "INTERNAL_ERROR")
    assert details == {"requestId": response.headers["x-request-id"]}
    assert SECRET not in response.text
    logged = capsys.readouterr()
    assert response.headers["x-request-id"] in logged.out
    assert SECRET not in logged.out + logged.err


async def test_without_its_database_it_says_come_back(settings: ApiSettings) -> None:
    nowhere = f"postgresql://mpanel_app:{SECRET}@127.0.0.1:{free_port()}/mpanel"
    away = create_app(settings.model_copy(update={"database_url": SecretStr(nowhere)}))

    async with away.router.lifespan_context(away), client_of(away) as client:
        body = {"email": "a@example.com", "password": "x"}
        response = await client.post(LOGIN, json=body)

        error(response, 503, "UNAVAILABLE")
        assert response.headers["retry-after"] == "1"
        assert SECRET not in response.text
        assert (await client.get("/api/health")).status_code == 200


async def test_every_call_documents_how_it_fails(app: FastAPI) -> None:
    for path, methods in app.openapi()["paths"].items():
        for method, call in methods.items():
            if path == "/api/health":
                continue
            assert {"422", "500", "503"} <= set(call["responses"]), (method, path)
            for status, told in call["responses"].items():
                if status >= "400":
                    shape = told["content"]["application/json"]["schema"]["$ref"]
                    assert shape.endswith("/ErrorOut"), (method, path, status)
