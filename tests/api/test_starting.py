"""Runs are started in passing; nobody waits for Temporal, whatever it does."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import pytest

from api.app import create_app
from api.settings import ApiSettings
from models.database import Database
from models.users import Role
from models.websites import Website
from tests.api import rows
from tests.api.conftest import LogIn, add_user, client_of, token_of
from tests.api.ears import listening


@dataclass
class Hung:
    """Takes calls and never answers."""

    port: int = 0
    calls: int = 0
    called: asyncio.Event = field(default_factory=asyncio.Event)


@pytest.fixture
async def hung() -> AsyncIterator[Hung]:
    found, ended = Hung(), asyncio.Event()

    async def take(_: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        found.calls += 1
        found.called.set()
        await ended.wait()
        answers.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    yield found
    ended.set()
    server.close()
    await server.wait_closed()


@pytest.fixture
async def websites(db: Database) -> list[Website]:
    buyer, bought = rows.customer(), rows.product()
    owned = rows.subscription(buyer, bought)
    made = [rows.website(owned) for _ in range(3)]
    await rows.add(db, buyer, bought, owned, *made)
    return made


async def suspend(client: httpx.AsyncClient, websites: list[Website]) -> float:
    """Seconds until the answer: of several, the one least disturbed by others."""
    clock, taken = asyncio.get_running_loop().time, []
    for website in websites:
        before = clock()
        response = await client.post(f"/api/websites/{website.id}/suspend")
        taken.append(clock() - before)
        assert response.status_code == 202
    return min(taken)


async def test_a_dead_temporal_delays_nobody(
    websites: list[Website], log_in: LogIn
) -> None:
    assert await suspend(await log_in(Role.OPERATOR), websites) < 0.5


async def test_a_hung_temporal_delays_nobody_and_is_given_up(
    settings: ApiSettings,
    db: Database,
    websites: list[Website],
    hung: Hung,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", f"127.0.0.1:{hung.port}")
    token = await token_of(db, await add_user(db, Role.OPERATOR))
    app = create_app(settings)

    async with app.router.lifespan_context(app), client_of(app) as client:
        client.headers["Authorization"] = f"Bearer {token}"
        assert await suspend(client, websites) < 0.5
        await asyncio.wait_for(hung.called.wait(), 60)
        before = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - before < 20


async def test_the_worker_is_woken_when_the_job_is_committed(
    websites: list[Website], log_in: LogIn, app_url: str
) -> None:
    operator = await log_in(Role.OPERATOR)
    async with listening(app_url) as heard:
        await suspend(operator, websites[:1])
        where = f"/api/websites/{websites[0].id}/suspend"
        assert (await operator.post(where)).status_code == 409

        assert await heard() == ["start"]
