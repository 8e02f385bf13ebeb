"""So many calls a minute, exactly, whichever process takes them."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from sqlmodel import select

from api.settings import ApiSettings
from models.base import utc_now
from models.calls import CallCount
from models.database import Database
from models.direct import PATIENCE
from models.users import Role
from tests.api import rows
from tests.api.conftest import add_user, client_of, token_of
from tests.api.people import bearer
from tests.api.shop import buy, order, stock
from tests.api.test_backoff import client_at
from tests.api.web import running
from tests.conftest import free_port

ME = "/api/auth/me"


@pytest.fixture
def settings(settings: ApiSettings) -> ApiSettings:
    return settings.model_copy(
        update={
            "call_limit": 10,
            "call_limit_login": 5,
            "call_limit_poll": 30,
            "call_limit_webhook": 20,
        }
    )


@asynccontextmanager
async def another(settings: ApiSettings) -> AsyncIterator[FastAPI]:
    """One more web process over the same database."""
    async with running(settings) as made:
        yield made


async def a_token(db: Database, role: Role = Role.VIEWER) -> str:
    return await token_of(db, await add_user(db, role))


async def statuses(
    client: httpx.AsyncClient, times: int, path: str = ME, **headers: str
) -> list[int]:
    """In turn."""
    return [(await client.get(path, headers=headers)).status_code for _ in range(times)]


async def pass_time(db: Database, seconds: float) -> None:
    """As if every minute had begun so much earlier."""
    async with db.platform() as session:
        for one in (await session.exec(select(CallCount))).all():
            one.ends_at = one.ends_at.__class__.fromtimestamp(
                one.ends_at.timestamp() - seconds, one.ends_at.tzinfo
            )
        await session.commit()


# --- exact --------------------------------------------------------------------------


async def test_of_500_calls_at_once_over_two_processes_exactly_ten_are_admitted(
    app: FastAPI, settings: ApiSettings, db: Database
) -> None:
    token = await a_token(db)
    async with (
        another(settings) as other,
        client_of(app) as here,
        client_of(other) as there,
    ):
        answers = await asyncio.gather(
            *(one.get(ME, headers=bearer(token)) for one in [here, there] * 250)
        )

    counts = [one.status_code for one in answers]
    assert (counts.count(200), counts.count(429)) == (10, 490)
    left = sorted(
        int(one.headers["x-ratelimit-remaining"])
        for one in answers
        if one.status_code == 200
    )
    assert left == list(range(10))


async def test_whoever_waits_as_told_is_admitted(
    api: httpx.AsyncClient, db: Database
) -> None:
    headers = bearer(await a_token(db))
    assert await statuses(api, 10, **headers) == [200] * 10
    refused = await api.get(ME, headers=headers)
    assert 30 < int(refused.headers["retry-after"]) <= 60

    await pass_time(db, int(refused.headers["retry-after"]) - 30)
    refused = await api.get(ME, headers=headers)
    assert refused.status_code == 429
    await pass_time(db, int(refused.headers["retry-after"]))

    assert await statuses(api, 11, **headers) == [200] * 10 + [429]


async def test_asking_too_early_prolongs_nothing(
    api: httpx.AsyncClient, db: Database
) -> None:
    headers = bearer(await a_token(db))
    await statuses(api, 10, **headers)
    ends = [
        (await api.get(ME, headers=headers)).headers["x-ratelimit-reset"]
        for _ in range(5)
    ]

    assert len(set(ends)) == 1


# --- told ---------------------------------------------------------------------------


async def test_every_answer_tells_what_is_left(
    api: httpx.AsyncClient, db: Database
) -> None:
    headers = bearer(await a_token(db))

    first = await api.get(ME, headers=headers)
    unknown = await api.get(f"/api/websites/{rows.OTHER}", headers=headers)

    assert (first.status_code, unknown.status_code) == (200, 404)
    told = first.headers
    assert (told["x-ratelimit-limit"], told["x-ratelimit-remaining"]) == ("10", "9")
    assert 40 < int(told["x-ratelimit-reset"]) - time.time() <= 61
    assert told["ratelimit-policy"] == '"default";q=10;w=60'
    assert told["ratelimit"].startswith('"default";r=9;t=')
    assert unknown.headers["x-ratelimit-remaining"] == "8"


async def test_a_refusal_says_when_to_come_back(
    api: httpx.AsyncClient, db: Database
) -> None:
    headers = bearer(await a_token(db))
    await statuses(api, 10, **headers)

    refused = await api.get(ME, headers=headers)

    wait = int(refused.headers["retry-after"])
    assert refused.json() == {
        "error": {
            "code": "RATE_LIMITED",
            "message": f"10 calls a minute are allowed; come back in {wait} s",
            "details": {"retryAfter": wait, "limit": 10},
        }
    }
    assert refused.headers["x-ratelimit-remaining"] == "0"


async def test_a_hundred_a_minute_unless_told_otherwise() -> None:
    fields = ApiSettings.model_fields
    assert fields["call_limit"].default == 100
    assert fields["call_limit_login"].default == 20


# --- per caller ---------------------------------------------------------------------


async def test_each_user_has_a_count_wherever_they_are(
    app: FastAPI, db: Database
) -> None:
    mine, theirs = bearer(await a_token(db)), bearer(await a_token(db))
    async with client_at(app, "192.0.2.1") as one, client_at(app, "192.0.2.2") as two:
        assert await statuses(one, 10, **mine) == [200] * 10
        assert await statuses(two, 1, **mine) == [429]
        assert await statuses(one, 10, **theirs) == [200] * 10


async def test_two_logins_of_a_user_share_a_count(
    api: httpx.AsyncClient, db: Database
) -> None:
    user = await add_user(db, Role.VIEWER)
    one, two = bearer(await token_of(db, user)), bearer(await token_of(db, user))

    assert await statuses(api, 10, **one) == [200] * 10
    assert await statuses(api, 1, **two) == [429]


@pytest.mark.parametrize("token", [None, "bogus"])
async def test_whoever_is_nobody_is_counted_by_address(
    app: FastAPI, db: Database, token: str | None
) -> None:
    headers = bearer(token) if token else {}
    async with client_at(app, "192.0.2.1") as one, client_at(app, "192.0.2.2") as two:
        assert await statuses(one, 11, **headers) == [401] * 10 + [429]
        assert await statuses(two, 1, **headers) == [401]
        # Somebody we know at that address is not concerned.
        assert await statuses(one, 1, **bearer(await a_token(db))) == [200]


async def test_an_address_that_nobody_vouches_for_is_not_believed(
    app: FastAPI, settings: ApiSettings
) -> None:
    async with client_at(app, "192.0.2.1") as client:
        counts = [
            await statuses(client, 1, **{"X-Forwarded-For": f"198.51.100.{n}"})
            for n in range(11)
        ]
    assert counts == [[401]] * 10 + [[429]]


async def test_a_trusted_proxy_tells_the_address_and_its_clients_do_not(
    settings: ApiSettings, db: Database
) -> None:
    trusting = settings.model_copy(update={"trusted_proxies": "10.0.0.0/8"})

    async def ask(client: httpx.AsyncClient, forwarded: str) -> int:
        answer = await client.get(ME, headers={"X-Forwarded-For": forwarded})
        return answer.status_code

    async with another(trusting) as app, client_at(app, "10.1.2.3") as proxy:
        # The proxy appends what it saw; what stood there before is the client's word.
        for number in range(10):
            assert await ask(proxy, f"203.0.113.{number}, 198.51.100.1") == 401
        assert await ask(proxy, "203.0.113.99, 198.51.100.1") == 429
        assert await ask(proxy, "198.51.100.2") == 401
        async with client_at(app, "192.0.2.1") as direct:
            assert await ask(direct, "198.51.100.1") == 401


# --- kinds --------------------------------------------------------------------------


async def test_logins_are_counted_by_address_whatever_they_carry(
    app: FastAPI, db: Database
) -> None:
    body = {"email": "nobody@example.com", "password": "x"}
    async with client_at(app, "192.0.2.1") as client:
        tokens = [None, *[await a_token(db) for _ in range(5)]]
        counts = [
            (
                await client.post(
                    "/api/auth/login", json=body, headers=bearer(token) if token else {}
                )
            )
            for token in tokens
        ]
    assert [one.headers["x-ratelimit-remaining"] for one in counts] == list("432100")
    assert counts[-1].json()["error"]["details"].get("limit") == 5


async def test_watching_a_job_leaves_the_other_calls_alone(
    api: httpx.AsyncClient, db: Database
) -> None:
    job = rows.job()
    await rows.add(db, job)
    headers = bearer(await a_token(db))

    watched = await statuses(api, 31, f"/api/jobs/{job.id}", **headers)

    assert watched == [200] * 30 + [429]
    assert await statuses(api, 10, **headers) == [200] * 10


async def test_a_webhook_too_many_is_told_when_to_come_and_is_not_lost(
    api: httpx.AsyncClient, db: Database
) -> None:
    await stock(db)
    for number in range(20):
        assert (await buy(api, order(orderId=number))).status_code == 202

    refused = await buy(api, order(orderId=20))

    assert refused.status_code == 429
    await pass_time(db, int(refused.headers["retry-after"]))
    again = await buy(api, order(orderId=20))
    assert (again.status_code, again.json()["deduplicated"]) == (202, False)


async def test_health_and_documentation_are_free(api: httpx.AsyncClient) -> None:
    for path in ("/api/health", "/openapi.json"):
        assert await statuses(api, 20, path) == [200] * 20
        assert "x-ratelimit-limit" not in (await api.get(path)).headers


# --- the login is looked at in the same breath ----------------------------------------


async def test_a_login_is_noted_as_seen_now_and_then(
    api: httpx.AsyncClient, db: Database
) -> None:
    headers = bearer(await a_token(db))

    async def seen() -> float:
        listed = await api.get("/api/auth/sessions", headers=headers)
        moment: str = listed.json()["items"][0]["lastSeenAt"]
        return utc_now().fromisoformat(moment).timestamp()

    first = await seen()
    assert await seen() == first
    async with db.platform() as session:
        await (await session.connection()).exec_driver_sql(
            "update sessions set last_seen_at = last_seen_at - interval '6 minutes'"
        )
        await session.commit()
    await seen()

    assert await seen() > first


# --- without a database ---------------------------------------------------------------


async def test_without_its_database_every_call_is_503(settings: ApiSettings) -> None:
    nowhere = f"postgresql://mpanel_app:x@127.0.0.1:{free_port()}/mpanel"
    away = settings.model_copy(
        update={"database_url": type(settings.database_url)(nowhere)}
    )
    async with another(away) as app, client_of(app) as client:
        answer = await client.get(ME, headers=bearer("bogus"))

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"


async def test_a_database_that_is_silent_is_away_after_some_seconds(
    app: FastAPI, api: httpx.AsyncClient, db: Database, owner_url: str
) -> None:
    headers = bearer(await a_token(db))
    assert await statuses(api, 1, **headers) == [200]
    [backend] = backends_of("mpanel-entry", owner_url)
    os.kill(backend, signal.SIGSTOP)
    try:
        began = time.monotonic()
        answer = await api.get(ME, headers=headers)
        took = time.monotonic() - began
    finally:
        os.kill(backend, signal.SIGCONT)

    assert answer.status_code == 503
    assert PATIENCE <= took < PATIENCE + 20
    assert await statuses(api, 1, **headers) == [200]


async def test_a_restart_of_the_database_is_not_noticed(
    api: httpx.AsyncClient, db: Database, owner_url: str
) -> None:
    headers = bearer(await a_token(db))
    await asyncio.gather(*(api.get(ME, headers=headers) for _ in range(4)))
    for backend in backends_of("mpanel-entry", owner_url):
        os.kill(backend, signal.SIGTERM)
    while backends_of("mpanel-entry", owner_url):  # noqa: ASYNC110 - PostgreSQL tells nobody
        await asyncio.sleep(0.02)

    assert await statuses(api, 4, **headers) == [200] * 4


def backends_of(application: str, owner_url: str) -> list[int]:
    """The processes of PostgreSQL that serve this one."""
    with psycopg.connect(owner_url) as owner:
        found = owner.execute(
            "select pid from pg_stat_activity where application_name = %s"
            " and datname = current_database()",
            [application],
        ).fetchall()
    return [pid for (pid,) in found]
