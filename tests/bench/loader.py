"""Calls over kept-alive connections, never more at once than it is told."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import uuid4

from tests.bench.stand import ORDER_SECRET

Answer = tuple[int, bytes, float]
ITEMS = [
    {"code": "wp_growth", "type": "hosting"},
    {"code": "daily_backups_30d", "type": "addon"},
]


class Line:
    """One connection; a request and its answer, one after the other."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self, request: bytes) -> Answer:
        """Status, body, and the seconds until the last byte."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        began = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        body = await reader.readexactly(int(length))
        return int(head.split(b" ", 2)[1]), body, time.perf_counter() - began

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()


async def load(port: int, requests: Iterable[bytes], *, lines: int = 4) -> list[Answer]:
    """All of the requests, over this many connections; each must succeed."""
    waiting = iter(requests)
    answers: list[Answer] = []

    async def work() -> None:
        line = Line(port)
        for request in waiting:
            answer = await line.call(request)
            if answer[0] >= 300:
                raise RuntimeError(f"{answer[0]}: {answer[1][:300]!r}")
            answers.append(answer)
        line.close()

    await asyncio.gather(*(work() for _ in range(lines)))
    return answers


def get(path: str, token: str = "") -> bytes:
    """A GET, as somebody who has logged in."""
    given = f"Authorization: Bearer {token}\r\n" if token else ""
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\n{given}\r\n".encode()


def post(path: str, body: bytes, headers: Sequence[tuple[str, str]] = ()) -> bytes:
    """A POST of JSON."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: bench",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def order(
    path: str = "/api/provisioning/webhooks/order-created",
    *,
    secret: str = ORDER_SECRET,
    **more: Any,
) -> bytes:
    """A signed order of a new customer: hosting with daily backups."""
    name = uuid4().hex
    told = {
        "source": "bench",
        "stripeCustomerId": f"cus_{name}",
        "customerEmail": f"{name}@example.com",
        "items": ITEMS,
        "orderId": name,
        **more,
    }
    body = json.dumps(told).encode()
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return post(path, body, [("X-Webhook-Signature", f"sha256={digest}")])
