"""What a request costs: against a bare route, and as the rows grow."""

import asyncio
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

from models.seed import create_user
from tests.bench import million
from tests.bench.cost import exactly, ratio
from tests.bench.loader import Line, get, load, order, post
from tests.bench.orders import seeded
from tests.bench.stand import Stand

_EMAIL = "bench@example.com"
_ROUNDS = 5
_CALLS = 300
_WARM, _LOOKS = 10, 150
LISTS: Mapping[str, str] = {
    "jobs": "/api/jobs",
    "orders": "/api/orders",
    "inbox": "/api/operator/inbox",
    "websites": "/api/websites",
    "customers": "/api/customers",
    "alerts": "/api/alerts",
    "audit": "/api/audit",
}


@dataclass(frozen=True)
class Door:
    """A web process and somebody who is logged in there."""

    port: int
    pid: int
    token: str
    job: str

    def poll(self) -> bytes:
        """One job, asked for again."""
        return get(f"/api/jobs/{self.job}", self.token)


async def door(stand: Stand, name: str, *, jobs: int) -> Door:
    """A database with so many jobs, and the web process before it."""
    url = stand.database(name)
    await (await seeded(url)).close()
    password = secrets.token_urlsafe(12)
    await create_user(
        url, email=_EMAIL, role="admin", tenant="MigraHosting", password=password
    )
    with stand.as_admin(name) as connection:
        await asyncio.to_thread(million.fill, connection, jobs)
    web = await stand.web(f"api_{name}", "api", url)
    body = json.dumps({"email": _EMAIL, "password": password}).encode()
    [(_, said, _)] = await load(web.port, [post("/api/auth/login", body)], lines=1)
    token = json.loads(said)["token"]
    [(_, said, _)] = await load(web.port, [get("/api/jobs", token)], lines=1)
    return Door(web.port, web.pid, token, json.loads(said)["items"][0]["id"])


async def against_bare(stand: Stand, ours: Door) -> Mapping[str, float]:
    """CPU seconds of our process by those of the bare one, for as many calls."""
    bare = await stand.web("bare_web", "tests.bench.bare_web", "")
    pairs: Mapping[str, tuple[Callable[[], bytes], Callable[[], bytes]]] = {
        "order webhook": (order, lambda: order("/order")),
        "job poll": (ours.poll, lambda: get(f"/jobs/{ours.job}")),
    }
    found = {}
    for name, (mine, yardstick) in pairs.items():
        above, below = [], []
        for round_ in range(_ROUNDS + 1):
            one = await _cpu(ours.pid, ours.port, mine)
            other = await _cpu(bare.pid, bare.port, yardstick)
            if round_:  # the first one warms up
                above.append(one)
                below.append(other)
        found[name] = ratio(above, below)
    await stand.stop(bare)
    return found


async def _cpu(pid: int, port: int, request: Callable[[], bytes]) -> float:
    requests = [request() for _ in range(_CALLS)]
    before = exactly(pid)
    await load(port, requests)
    return exactly(pid) - before


async def growth(small: Door, large: Door) -> Mapping[str, float]:
    """The median seconds of a call among many rows by those among few, in turns.

    A list that is not there yet is left out.
    """
    calls: dict[str, Callable[[Door], bytes]] = {"job poll": Door.poll}
    for name, path in LISTS.items():
        calls[name] = lambda one, path=path: get(path, one.token)
    found = {}
    lines = Line(small.port), Line(large.port)
    for name, call in calls.items():
        took: tuple[list[float], list[float]] = ([], [])
        for _ in range(_WARM + _LOOKS):
            for seconds, line, one in zip(took, lines, (small, large), strict=True):
                status, body, spent = await line.call(call(one))
                if status != 404:
                    assert status == 200, body
                    seconds.append(spent)
        if took[1]:
            few, many = (median(seconds[_WARM:]) for seconds in took)
            found[name] = many / few
    for line in lines:
        line.close()
    return found
