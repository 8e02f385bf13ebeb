"""Receivers of what the relay sends: a real SMTP catcher, real HTTP endpoints."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from simulators import mail
from simulators.http import HttpServer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

Answer = Callable[[int], Awaitable[Response]]


@dataclass
class Received:
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """An operators' endpoint. `answer(n)` is what the n-th call (from 1) gets."""

    answer: Answer
    got: list[Received] = field(default_factory=list)
    url: str = ""

    async def __call__(self, request: Request) -> Response:
        self.got.append(Received(dict(request.headers), await request.body()))
        return await self.answer(len(self.got))


async def ok(_: int) -> Response:
    return Response(status_code=204)


@asynccontextmanager
async def receiving(answer: Answer = ok) -> AsyncIterator[Receiver]:
    """A receiver on a port of its own."""
    made = Receiver(answer)
    route = Route("/hook", made.__call__, methods=["POST", "GET"])
    server = HttpServer(Starlette(routes=[route]), 0)
    await server.start()
    made.url = f"http://127.0.0.1:{server.port}/hook"
    yield made
    await server.stop()


@pytest.fixture
async def catcher(tmp_path: Path) -> AsyncIterator[mail.Mail]:
    sim = mail.build({"port": 0, "smtp_port": 0}, tmp_path)
    await sim.start()
    yield sim
    await sim.stop()


async def until(holds: Callable[[], object], *, within: float = 60) -> None:
    """Waits for it; AssertionError if it does not come."""
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, "it did not come"
        await asyncio.sleep(0.02)
