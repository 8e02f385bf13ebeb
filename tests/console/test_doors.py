"""Who gets in at the console, and who does not: as any program may call it."""

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlmodel import select

from api.console.visitors import own_page
from api.settings import ApiSettings
from models.database import Database
from models.jobs import Decision
from models.users import Role, User
from tests.api.conftest import (
    add_user,
    app,
    client_of,
    no_temporal,
    settings,
    token_of,
)
from tests.api.rows import OTHER, add, other_tenant
from tests.api.web import running
from tests.console.browsing import PASSWORD
from tests.console.jobs import waiting

__all__ = ["app", "no_temporal", "settings"]

Client = httpx.AsyncClient


@pytest.fixture
async def stranger(app: FastAPI) -> AsyncIterator[Client]:
    """A browser that has not logged in."""
    async with client_of(app) as client:
        yield client


@pytest.fixture
async def known(stranger: Client, olga: User) -> Client:
    """An operator's, logged in."""
    answer = await log_in(stranger, olga.email)
    assert answer.headers["location"] == "/console/inbox"
    return stranger


async def log_in(client: Client, email: str, **more: str) -> httpx.Response:
    form = {"email": email, "password": PASSWORD, **more}
    return await client.post("/console/login", data=form)


async def test_a_stranger_is_asked_to_log_in_and_brought_back(
    stranger: Client, olga: User
) -> None:
    asked = await stranger.get("/console/inbox?cause=x")
    assert asked.status_code == 303
    assert asked.headers["location"] == "/console/login?next=/console/inbox%3Fcause%3Dx"

    answer = await log_in(stranger, olga.email, next="/console/inbox?cause=x")

    assert answer.headers["location"] == "/console/inbox?cause=x"
    assert (await stranger.get("/console/inbox")).status_code == 200


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/console/",
        "//evil.example/console/",
        "/\\evil.example",
        "javascript:alert(1)",
        "/api/auth/me",
        "/console/\r\nSet-Cookie: a=b",
        "",
    ],
)
def test_nobody_is_led_out_of_the_console(address: str) -> None:
    assert own_page(address) == "/console/inbox"


async def test_the_cookie_is_hidden_from_scripts_and_opens_nothing_else(
    stranger: Client, olga: User
) -> None:
    answer = await log_in(stranger, olga.email)

    said = answer.headers["set-cookie"]
    assert "HttpOnly" in said
    assert "SameSite=lax" in said
    assert "Path=/" in said
    held = stranger.cookies["mpanel"]
    bearer = {"Authorization": f"Bearer {held}"}
    assert (await stranger.get("/api/auth/me", headers=bearer)).status_code == 401
    assert (await stranger.get("/api/jobs")).status_code == 401


async def test_over_https_the_cookie_is_bound_to_the_host(
    settings: ApiSettings, olga: User
) -> None:
    public = settings.model_copy(update={"public_url": "https://panel.test"})
    async with running(public) as app, client_of(app) as client:
        said = (await log_in(client, olga.email)).headers["set-cookie"]
    assert said.startswith("__Host-mpanel=")
    assert "Secure" in said


async def test_an_api_token_is_no_cookie(
    stranger: Client, db: Database, olga: User
) -> None:
    stranger.cookies["mpanel"] = await token_of(db, olga)
    assert (await stranger.get("/console/inbox")).status_code == 303


async def test_a_login_ends_everywhere(known: Client, db: Database) -> None:
    held = known.cookies["mpanel"]
    assert (await known.post("/console/logout")).status_code == 303
    known.cookies["mpanel"] = held
    assert (await known.get("/console/inbox")).status_code == 303


async def test_a_viewer_is_told_that_the_console_is_for_operators(
    stranger: Client, db: Database, password_hash: str
) -> None:
    viewer = await add_user(db, Role.VIEWER, password_hash=password_hash)
    waits = await waiting(db)
    await log_in(stranger, viewer.email)

    for answer in (
        await stranger.get("/console/inbox"),
        await stranger.get(f"/console/inbox/{waits.id}"),
        await stranger.get(f"/console/inbox/{waits.id}/live"),
        await stranger.post(f"/console/inbox/{waits.id}", data=retry()),
        await stranger.post("/console/inbox/retry", data={"cause": "x", "reason": "y"}),
    ):
        assert answer.status_code == 403
        assert "the console is for operators" in answer.text.lower()
    assert await decisions(db) == []


async def test_another_tenants_job_is_not_there(known: Client, db: Database) -> None:
    await add(db, other_tenant())
    waits = await waiting(db, tenant_id=OTHER)

    shown = await known.get(f"/console/inbox/{waits.id}")
    live = await known.get(f"/console/inbox/{waits.id}/live")
    decided = await known.post(f"/console/inbox/{waits.id}", data=retry())

    assert [one.status_code for one in (shown, live, decided)] == [404] * 3
    inbox = (await known.get("/console/inbox")).text
    assert "No worker is up" in inbox
    assert "Nothing else waits for you" in inbox
    assert await decisions(db) == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://api"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://api"}, 303),
        ({"Origin": "http://api"}, 303),
        ({}, 303),
    ],
)
async def test_no_other_site_decides(
    known: Client, db: Database, headers: dict[str, str], status: int
) -> None:
    waits = await waiting(db)
    seen = await seen_on(known, waits.id)

    answer = await known.post(
        f"/console/inbox/{waits.id}", data=retry(seen=seen), headers=headers
    )

    assert answer.status_code == status
    assert len(await decisions(db)) == (status == 303)


@pytest.mark.parametrize("path", ["/console/login", "/console/logout"])
async def test_no_other_site_logs_anybody_in_or_out(known: Client, path: str) -> None:
    form = {"email": "eve@example.com", "password": "hers"}
    evil = {"Sec-Fetch-Site": "cross-site"}
    assert (await known.post(path, data=form, headers=evil)).status_code == 403
    assert (await known.get("/console/inbox")).status_code == 200


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"reason": ""}, "reason"),
        ({"reason": "a\x00b"}, "reason"),
        ({"reason": "x" * 1001}, "reason"),
        ({"act": "dance"}, "act"),
        ({"act": "abort_order"}, "belongs to no order"),
        ({"step": "go_live"}, "does not wait for a decision"),
        ({"code": "123456"}, "no second factor is set up"),
        ({"seen": "f" * 64}, "has changed meanwhile"),
    ],
)
async def test_a_wrong_form_is_shown_again_with_what_is_wrong(
    known: Client, db: Database, form: dict[str, str], said: str
) -> None:
    waits = await waiting(db)
    sent = {**retry(seen=await seen_on(known, waits.id)), **form}

    answer = await known.post(f"/console/inbox/{waits.id}", data=sent)

    assert answer.status_code in (409, 422)
    [alert] = re.findall(r'role="alert">([^<]*)', answer.text)
    assert said in alert.lower()
    assert await decisions(db) == []


async def test_a_cause_that_is_gone_does_not_say_that_nothing_waits(
    known: Client, db: Database
) -> None:
    waits = await waiting(db)

    gone = (await known.get("/console/inbox?cause=stripe.down")).text

    assert "1 job waits" in gone
    assert "Nothing of this cause waits any more" in gone
    assert "Every paid order is" not in gone
    assert "What is not held up there is" not in gone
    assert str(waits.id) in (await known.get("/console/inbox")).text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/console/nothing", 404),
        ("GET", "/console/inbox/00000000-0000-4000-8000-00000000dead", 404),
        ("GET", "/console/inbox/not-an-id", 404),
        ("PUT", "/console/inbox", 405),
        ("GET", "/console/inbox?page=0", 422),
        ("GET", "/console/static/nothing.css", 404),
        ("POST", "/console/inbox/retry", 415),
    ],
)
async def test_failures_are_pages_too(
    known: Client, method: str, path: str, status: int
) -> None:
    answer = await known.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "<h1>" in answer.text


@pytest.mark.usefixtures("standing_clock")
async def test_passwords_are_not_guessed_for_long(stranger: Client, olga: User) -> None:
    statuses = []
    for _ in range(8):
        answer = await log_in(stranger, olga.email, password="wrong")
        statuses.append(answer.status_code)
    assert statuses == [401] * 5 + [429] * 3
    assert 'role="alert"' in answer.text


def retry(**more: str) -> dict[str, str]:
    return {"act": "retry", "reason": "it is well", "seen": "", **more}


async def seen_on(client: Client, job_id: Any) -> str:
    page = await client.get(f"/console/inbox/{job_id}")
    [seen] = set(re.findall(r'name="seen" value="([0-9a-f]{64})"', page.text))
    return seen


async def decisions(db: Database) -> list[Decision]:
    async with db.platform() as session:
        return list((await session.exec(select(Decision))).all())
