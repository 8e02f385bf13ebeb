"""Whoever guesses waits longer each time; whoever knows is not kept out."""

import asyncio
import time
from datetime import timedelta

import httpx
import pytest
from fastapi import FastAPI
from sqlmodel import select

from api.settings import ApiSettings
from models import attempts as guards
from models.attempts import Attempts
from models.database import Database
from models.errors import TooMany
from models.queries import attempts
from models.seed import PASSWORDS
from models.users import Role, User
from tests.api.conftest import client_of
from tests.api.people import PASSWORD, person
from tests.api.web import running

LOGIN = "/api/auth/login"

# The first wait is a second, and it may be over before the next guess is made.
pytestmark = pytest.mark.usefixtures("standing_clock")


@pytest.fixture
async def user(db: Database) -> User:
    return await person(db, Role.VIEWER)


def client_at(app: FastAPI, address: str) -> httpx.AsyncClient:
    """Somebody at this address."""
    transport = httpx.ASGITransport(app, client=(address, 4711))
    return httpx.AsyncClient(transport=transport, base_url="http://api")


async def guess(
    api: httpx.AsyncClient, email: str, password: str = "wrong"
) -> httpx.Response:
    return await api.post(LOGIN, json={"email": email, "password": password})


async def statuses(api: httpx.AsyncClient, email: str, times: int) -> list[int]:
    return [(await guess(api, email)).status_code for _ in range(times)]


async def pass_time(db: Database, by: timedelta) -> None:
    """As if every failure had been so much earlier."""
    async with db.platform() as session:
        for one in (await session.exec(select(Attempts))).all():
            one.failed_at -= by
            one.blocked_until -= by
        await session.commit()


@pytest.mark.parametrize("email", ["right", "nobody@example.com"])
async def test_five_failures_are_free_whether_or_not_there_is_such_an_account(
    api: httpx.AsyncClient, user: User, email: str
) -> None:
    email = user.email if email == "right" else email

    assert await statuses(api, email, 5) == [401] * 5
    refused = await guess(api, email.upper(), PASSWORD)

    assert refused.status_code == 429
    assert refused.json() == {
        "error": {
            "code": "RATE_LIMITED",
            "message": "too many failures; come back in 1 s",
            "details": {"retryAfter": 1},
        }
    }
    assert refused.headers["retry-after"] == "1"


async def test_each_further_failure_doubles_the_wait_up_to_a_quarter_of_an_hour(
    api: httpx.AsyncClient, db: Database, user: User
) -> None:
    await statuses(api, user.email, 5)
    waits = []
    for _ in range(13):
        refused = await guess(api, user.email)
        waits.append(int(refused.headers["retry-after"]))
        await pass_time(db, timedelta(seconds=waits[-1]))
        assert (await guess(api, user.email)).status_code == 401

    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]


async def test_whoever_waits_as_told_is_heard(
    api: httpx.AsyncClient, db: Database, user: User
) -> None:
    await statuses(api, user.email, 5)
    refused = await guess(api, user.email, PASSWORD)

    await pass_time(db, timedelta(seconds=int(refused.headers["retry-after"])))

    assert (await guess(api, user.email, PASSWORD)).status_code == 200


async def test_asking_too_early_prolongs_nothing(
    api: httpx.AsyncClient, user: User
) -> None:
    await statuses(api, user.email, 5)

    answers = [await guess(api, user.email) for _ in range(5)]

    assert {one.headers["retry-after"] for one in answers} == {"1"}


async def test_a_success_is_forgiven_the_account(
    api: httpx.AsyncClient, user: User
) -> None:
    for _ in range(3):
        assert await statuses(api, user.email, 4) == [401] * 4
        assert (await guess(api, user.email, PASSWORD)).status_code == 200


async def test_right_passwords_are_never_too_many(
    api: httpx.AsyncClient, user: User
) -> None:
    for _ in range(12):
        assert (await guess(api, user.email, PASSWORD)).status_code == 200


async def test_a_thousand_guesses_at_once_are_five(
    app: FastAPI, settings: ApiSettings, user: User
) -> None:
    """Over two processes, before any of them has failed."""
    async with (
        running(settings) as other,
        client_of(app) as here,
        client_of(other) as there,
    ):
        answers = await asyncio.gather(
            *(guess(one, user.email) for one in [here, there] * 30)
        )

    counts = [one.status_code for one in answers]
    assert (counts.count(401), counts.count(429)) == (5, 55)


async def test_failures_outlive_a_restart(
    app: FastAPI, settings: ApiSettings, api: httpx.AsyncClient, user: User
) -> None:
    await statuses(api, user.email, 5)

    async with running(settings) as restarted, client_of(restarted) as it:
        assert (await guess(it, user.email, PASSWORD)).status_code == 429


async def test_an_address_that_guesses_at_many_accounts_waits_too(
    app: FastAPI, db: Database, user: User
) -> None:
    async with client_at(app, "203.0.113.7") as thief:
        for number in range(30):
            answer = await guess(thief, f"victim{number}@example.com")
            assert answer.status_code == 401
        refused = await guess(thief, user.email, PASSWORD)
        assert refused.status_code == 429
        await pass_time(db, timedelta(seconds=1))
        # Their own account opens, but the address is not forgiven.
        assert (await guess(thief, user.email, PASSWORD)).status_code == 200
        assert (await guess(thief, "victim31@example.com")).status_code == 401
        assert (await guess(thief, "victim32@example.com")).status_code == 429

    async with client_at(app, "203.0.113.8") as neighbour:
        assert (await guess(neighbour, user.email, PASSWORD)).status_code == 200


async def test_an_address_is_forgiven_with_time(app: FastAPI, db: Database) -> None:
    async with client_at(app, "203.0.113.7") as office:
        for number in range(30):
            await guess(office, f"victim{number}@example.com")
        await pass_time(db, timedelta(minutes=10))

        later = [await guess(office, f"typo{n}@example.com") for n in range(11)]

    assert [one.status_code for one in later] == [401] * 10 + [429]


async def test_an_ipv6_customer_is_one_address(app: FastAPI) -> None:
    for number in range(30):
        async with client_at(app, f"2001:db8:1:2::{number + 1:x}") as thief:
            await guess(thief, f"victim{number}@example.com")

    async with client_at(app, "2001:db8:1:2:ffff::1") as thief:
        assert (await guess(thief, "victim31@example.com")).status_code == 429
    async with client_at(app, "2001:db8:1:3::1") as neighbour:
        assert (await guess(neighbour, "victim32@example.com")).status_code == 401


async def test_attackers_everywhere_do_not_keep_the_user_out(
    app: FastAPI, user: User
) -> None:
    """An address that a user has logged in from is counted by itself."""
    async with client_at(app, "198.51.100.1") as home:
        assert (await guess(home, user.email, PASSWORD)).status_code == 200
        for number in range(8):
            async with client_at(app, f"203.0.113.{number + 1}") as thief:
                last = await guess(thief, user.email)
        assert last.status_code == 429

        assert (await guess(home, user.email, PASSWORD)).status_code == 200
        # A thief at home has five guesses as well.
        assert await statuses(home, user.email, 6) == [401] * 5 + [429]


async def test_a_refused_guess_costs_neither_account_nor_address_a_try(
    db: Database,
) -> None:
    blocked, free = guards.account("a@example.com", None), guards.address("192.0.2.1")
    async with db.platform() as session:
        for _ in range(5):
            await attempts.begin(session, blocked)
        with pytest.raises(TooMany):
            await attempts.begin(session, blocked, free)
        left = (await session.exec(select(Attempts.key))).all()

    assert left == [blocked.key]


async def test_unknown_accounts_take_as_long_as_known_ones(
    app: FastAPI, user: User
) -> None:
    """Argon2 is run for both; without it an answer came ten times sooner."""

    async def seconds(client: httpx.AsyncClient, email: str) -> float:
        began = time.perf_counter()
        await guess(client, email)
        return time.perf_counter() - began

    async with app.state.parts.db.platform() as session:
        (await session.get_one(User, user.id)).password_hash = PASSWORDS.hash(PASSWORD)
        await session.commit()
    known, unknown = [], []
    # In turn, so that whatever else the machine does slows both down.
    for number in range(4):
        async with client_at(app, f"192.0.2.{number}") as client:
            known.append(await seconds(client, user.email))
            unknown.append(await seconds(client, "nobody@example.com"))

    assert 0.3 < min(unknown) / min(known) < 3
