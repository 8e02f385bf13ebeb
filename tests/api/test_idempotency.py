"""A call with an Idempotency-Key is done once and answered the same."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from structlog.testing import capture_logs

from api.services import starting
from api.settings import ApiSettings
from models.base import utc_now
from models.database import Database
from models.jobs import Job
from models.queries import idempotency
from models.states import JobStatus, ServiceStatus
from models.users import Role
from tests.api import rows
from tests.api.conftest import SECRET_KEY, LogIn, add_user, client_of, token_of
from tests.api.live import SOON, up
from tests.api.shop import count
from tests.api.web import running
from tests.conftest import free_port

KEY = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
IN_USE = "IDEMPOTENCY_KEY_IN_USE"


@pytest.fixture
async def body(db: Database) -> dict[str, str]:
    """What asks for a website."""
    customer, product = rows.customer(), rows.product()
    subscription = rows.subscription(customer, product)
    await rows.add(db, customer, product, subscription)
    return {
        "customerId": str(customer.id),
        "subscriptionId": str(subscription.id),
        "domain": "one.example.com",
    }


@pytest.fixture
async def parked(db: Database) -> Job:
    """A job that waits for a decision."""
    job = rows.job(status=JobStatus.NEEDS_ATTENTION, step="create_site")
    await rows.add(db, job)
    return job


async def post(
    client: httpx.AsyncClient, path: str, body: Any, key: str = "one"
) -> httpx.Response:
    return await client.post(path, json=body, headers={KEY: key})


async def test_the_same_call_again_gets_the_first_answer(
    db: Database, operator: httpx.AsyncClient, body: dict[str, str]
) -> None:
    first = await post(operator, "/api/websites", body)
    again = await post(operator, "/api/websites", body)

    assert first.status_code == again.status_code == 201
    assert REPLAYED not in first.headers
    assert again.headers[REPLAYED] == "true"
    assert again.content == first.content
    assert again.headers["content-type"] == first.headers["content-type"]
    assert await count(db, "websites") == await count(db, "jobs") == 1


async def test_json_is_the_same_whatever_its_spaces_and_order(
    operator: httpx.AsyncClient, body: dict[str, str]
) -> None:
    await post(operator, "/api/websites", body)
    turned = dict(reversed(body.items()))
    again = await operator.post(
        "/api/websites",
        content=json.dumps(turned, indent=3),
        headers={KEY: "one", "Content-Type": "application/json"},
    )

    assert again.headers[REPLAYED] == "true"


async def test_a_key_with_another_body_or_path_is_refused(
    db: Database, operator: httpx.AsyncClient, body: dict[str, str]
) -> None:
    made = (await post(operator, "/api/websites", body)).json()
    changed = body | {"domain": "two.example.com"}
    other_body = await post(operator, "/api/websites", changed)
    other_path = await post(operator, f"/api/websites/{made['id']}/suspend", body)

    for refused in (other_body, other_path):
        assert refused.status_code == 422
        assert refused.json()["error"]["code"] == "IDEMPOTENCY_KEY_REUSED"
        assert refused.json()["error"]["details"]["field"] == KEY
    assert await count(db, "websites") == 1


async def test_while_the_first_call_runs_the_second_is_told_to_wait(
    db: Database, operator: httpx.AsyncClient, body: dict[str, str], owner_url: str
) -> None:
    with held(owner_url, body["subscriptionId"]):
        first = asyncio.create_task(post(operator, "/api/websites", body))
        await rows.waited_for(db)
        second = await post(operator, "/api/websites", body)

    assert second.status_code == 409
    assert second.json()["error"]["code"] == IN_USE
    assert second.headers["Retry-After"] == "1"
    assert (await first).status_code == 201
    third = await post(operator, "/api/websites", body)
    assert third.headers[REPLAYED] == "true"
    assert third.content == (await first).content


async def test_many_at_once_over_two_processes_do_it_once(
    db: Database,
    app: FastAPI,
    settings: ApiSettings,
    body: dict[str, str],
) -> None:
    token = await token_of(db, await add_user(db, Role.OPERATOR))
    async with running(settings) as other, contextlib.AsyncExitStack() as all:
        clients = [
            await all.enter_async_context(client_of(one)) for one in (app, other)
        ]
        for client in clients:
            client.headers["Authorization"] = f"Bearer {token}"
        found = await asyncio.gather(
            *(post(clients[n % 2], "/api/websites", body) for n in range(12))
        )

    statuses = {one.status_code for one in found}
    assert 201 in statuses
    assert statuses <= {201, 409}
    assert len({one.content for one in found if one.status_code == 201}) == 1
    assert await count(db, "websites") == await count(db, "jobs") == 1


async def test_two_callers_may_use_the_same_key(
    db: Database, log_in: LogIn, operator: httpx.AsyncClient, body: dict[str, str]
) -> None:
    await rows.add(db, rows.other_tenant())
    colleague = await log_in(Role.OPERATOR)
    stranger = await log_in(Role.OPERATOR, tenant_id=rows.OTHER)
    await post(operator, "/api/websites", body)

    assert (await post(colleague, "/api/websites", body)).status_code == 409
    theirs = await post(stranger, "/api/websites", body)
    assert theirs.status_code == 404
    assert REPLAYED not in theirs.headers


async def test_a_refusal_is_not_kept(
    db: Database, operator: httpx.AsyncClient, body: dict[str, str]
) -> None:
    malformed = await post(operator, "/api/websites", {"domain": 3})
    unknown = await post(
        operator, "/api/websites", body | {"customerId": str(rows.OTHER)}
    )
    right = await post(operator, "/api/websites", body)

    assert [one.status_code for one in (malformed, unknown, right)] == [422, 404, 201]
    assert await count(db, "kept_answers") == 1


async def test_what_fails_on_our_side_is_undone_and_not_kept(
    db: Database, operator: httpx.AsyncClient, body: dict[str, str], owner_url: str
) -> None:
    with refusing_answers(owner_url), capture_logs() as logs:
        failed = await post(operator, "/api/websites", body)
        await starting.settled()
    assert failed.status_code >= 500
    assert "start_left_to_sweep" not in {one["event"] for one in logs}
    assert await count(db, "websites") == await count(db, "jobs") == 0

    assert (await post(operator, "/api/websites", body)).status_code == 201


@pytest.mark.parametrize("key", ["", "two words", "caf\u00e9", "k" * 256])
async def test_what_is_no_key_is_refused(
    db: Database, operator: httpx.AsyncClient, body: dict[str, str], key: str
) -> None:
    refused = await operator.post(
        "/api/websites", json=body, headers={KEY: key.encode("latin-1")}
    )

    assert refused.status_code == 422
    assert refused.json()["error"]["details"]["field"] == KEY
    assert await count(db, "websites") == 0


@pytest.mark.parametrize("key", ["!", "~" * 255])
async def test_any_visible_ascii_is_a_key(
    operator: httpx.AsyncClient, body: dict[str, str], key: str
) -> None:
    assert (await post(operator, "/api/websites", body, key)).status_code == 201
    assert REPLAYED in (await post(operator, "/api/websites", body, key)).headers


async def test_a_secret_is_shown_again_and_lies_sealed(
    db: Database, operator: httpx.AsyncClient, parked: Job
) -> None:
    first = await post(operator, f"/api/jobs/{parked.id}/codes", {"act": "retry"})
    again = await post(operator, f"/api/jobs/{parked.id}/codes", {"act": "retry"})

    code = first.json()["code"]
    assert again.json()["code"] == code
    async with db.platform() as session:
        found = await (await session.connection()).execute(
            text("select * from kept_answers")
        )
        assert code not in str(found.one())


async def test_deleting_has_keys_too(
    db: Database, operator: httpx.AsyncClient, body: dict[str, str]
) -> None:
    website = (await post(operator, "/api/websites", body)).json()
    await settle(db, website["id"])
    path = f"/api/websites/{website['id']}"
    first = await operator.delete(path, headers={KEY: "gone"})
    again = await operator.delete(path, headers={KEY: "gone"})

    assert first.status_code == 202, first.text
    assert again.headers[REPLAYED] == "true"
    assert again.json() == first.json()


async def test_reading_needs_no_key(operator: httpx.AsyncClient) -> None:
    read = await operator.get("/api/websites", headers={KEY: "one"})
    assert read.status_code == 200
    assert (
        REPLAYED
        not in (await operator.get("/api/websites", headers={KEY: "one"})).headers
    )


async def test_somebody_without_the_right_gets_no_answer(
    db: Database, app: FastAPI, body: dict[str, str]
) -> None:
    user = await add_user(db, Role.OPERATOR)
    async with client_of(app) as client:
        client.headers["Authorization"] = f"Bearer {await token_of(db, user)}"
        await post(client, "/api/websites", body)
        async with db.platform() as session:
            (await session.get_one(type(user), user.id)).roles = [Role.VIEWER]
            await session.commit()

        assert (await post(client, "/api/websites", body)).status_code == 403


async def test_answers_are_forgotten_after_a_day(
    db: Database, operator: httpx.AsyncClient, body: dict[str, str], parked: Job
) -> None:
    await post(operator, "/api/websites", body)
    await post(operator, f"/api/jobs/{parked.id}/codes", {"act": "retry"}, "two")
    async with db.platform() as session:
        await (await session.connection()).execute(
            text("update kept_answers set created_at = :then where key = 'one'"),
            {"then": utc_now() - timedelta(hours=24, seconds=1)},
        )
        assert await idempotency.sweep(session) == 1
        await session.commit()

    assert (await post(operator, "/api/websites", body)).status_code == 409
    assert await count(db, "kept_answers") == 1


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_call_whose_process_is_killed_is_done_once(
    db: Database,
    app: FastAPI,
    app_url: str,
    body: dict[str, str],
    moment: str,
) -> None:
    token = await token_of(db, await add_user(db, Role.OPERATOR))
    login = {"Authorization": f"Bearer {token}"}
    async with dying(app_url, moment) as doomed:
        doomed.headers.update(login)
        with pytest.raises(httpx.TransportError):
            await post(doomed, "/api/websites", body)
    async with client_of(app) as client:
        client.headers.update(login)
        answer = await post(client, "/api/websites", body)
        while IN_USE in answer.text:  # PostgreSQL has yet to miss the process
            await asyncio.sleep(0.02)
            answer = await post(client, "/api/websites", body)

    assert answer.status_code == 201
    assert (REPLAYED in answer.headers) == (moment == "after")
    assert await count(db, "websites") == await count(db, "jobs") == 1


@contextlib.contextmanager
def held(owner_url: str, subscription_id: str) -> Iterator[None]:
    """Whoever wants to change the subscription waits."""
    with psycopg.connect(owner_url) as connection:
        connection.execute("select set_config('mpanel.scope', 'platform', true)")
        connection.execute(
            "select 1 from subscriptions where id = %s for update", [subscription_id]
        )
        yield


@contextlib.contextmanager
def refusing_answers(owner_url: str) -> Iterator[None]:
    """The database takes no answer: it fails after everything else was done."""
    rule = "alter table kept_answers"
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute(f"{rule} add constraint none check (status < 0)")
        yield
        connection.execute(f"{rule} drop constraint none")


@contextlib.asynccontextmanager
async def dying(app_url: str, moment: str) -> AsyncIterator[httpx.AsyncClient]:
    """A web process that will not survive its first keyed call."""
    port = free_port()
    environment = {
        **os.environ,
        "MPANEL_DATABASE_URL": app_url,
        "MPANEL_SECRET_KEY": SECRET_KEY,
        "MPANEL_ENCRYPTION_KEYS": f"v1:{'A' * 43}=",
        "MPANEL_ORDER_WEBHOOK_SECRET": "shared-with-the-shop",
        "MPANEL_STRIPE_WEBHOOK_SECRET": "whsec_x",
        "MPANEL_PLATFORM_DOMAIN": "sites.example.net",
        "MPANEL_PUBLIC_URL": "http://api",
        "MPANEL_SECOND_FACTOR": "off",
    }
    command = [sys.executable, "-m", "tests.api.dying", str(port), moment]
    process = subprocess.Popen(command, env=environment)  # noqa: ASYNC220
    try:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", timeout=SOON, trust_env=False
        ) as client:
            await up(client)
            yield client
        assert process.wait(SOON) == -9
    finally:
        process.kill()
        process.wait()


async def settle(db: Database, website_id: str) -> None:
    """Its first job is over."""
    async with db.platform() as session:
        connection = await session.connection()
        await connection.execute(text("update jobs set status = 'succeeded'"))
        await connection.execute(
            text("update websites set status = :active"),
            {"active": ServiceStatus.ACTIVE},
        )
        await session.commit()
