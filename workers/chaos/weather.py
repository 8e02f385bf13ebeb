"""What goes wrong, and when: drawn from the seed before anything begins."""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import httpx

from workers.dev.running import RunningStack

PARTS: Final = ("api", "worker", "temporal", "postgres", "simulators")
_KILLS_EVERY: Final = (2.0, 4.5)
_RESTS: Final = 1  # seconds that a Retry-After asks for
_SILENCE: Final = 2.0

# What misbehaves at which operations, and how often at most. Nothing is refused for
# good: that would be for a person to decide, and rightly so.
_READS, _SITES, _FILES = "GET /v1/*", "clpctl site:*", "sftp *"
_RECORDS: Final = "*/zones/*"
_STORM: Final[Mapping[str, Sequence[tuple[str, str, float, int]]]] = {
    "stripe": (
        ("fail", _READS, 0.15, 6),
        ("throttle", _READS, 0.1, 3),
        ("garbage", _READS, 0.05, 2),
        ("execute_then_timeout", _READS, 0.05, 2),
    ),
    "hosting": (
        ("fail", _SITES, 0.15, 4),
        ("execute_then_timeout", _SITES, 0.25, 5),
        ("execute_then_fail", _SITES, 0.1, 3),
        ("fail", _FILES, 0.02, 4),
    ),
    "powerdns": (
        ("fail", _RECORDS, 0.15, 5),
        ("throttle", _RECORDS, 0.1, 3),
        ("execute_then_timeout", _RECORDS, 0.15, 4),
        ("execute_then_fail", _RECORDS, 0.1, 3),
    ),
    "mail": (("fail", "*", 0.2, 4), ("execute_then_timeout", "*", 0.15, 3)),
}

# Who dies between an effect and its answer, at which operation.
_KILLERS: Final = (
    ("hosting", "clpctl site:add:*", ("worker",)),
    ("powerdns", "PATCH */zones/*", ("worker", "postgres", "temporal")),
    ("stripe", "GET /v1/payment_intents*", ("worker", "api", "temporal")),
)

Note = Callable[[str, str], None]


@dataclass(frozen=True)
class Kill:
    """kill -9 of a part, `after` seconds from the one before it."""

    part: str
    after: float


def kills(draw: random.Random, count: int) -> list[Kill]:
    """Every part once before any comes again."""
    parts: list[str] = []
    while len(parts) < count:
        parts += draw.sample(PARTS, len(PARTS))
    return [Kill(part, draw.uniform(*_KILLS_EVERY)) for part in parts[:count]]


def faults(draw: random.Random, *, orders: int) -> dict[str, list[dict[str, Any]]]:
    """The fault scripts of each simulator; the first that fits a call decides it."""
    made: dict[str, list[dict[str, Any]]] = {name: [] for name in _STORM}
    for name, op, victims in _KILLERS:
        made[name].append(
            {
                "kind": "execute_then_kill",
                "op": op,
                "at": draw.randint(1, orders),
                "victim": draw.choice(victims),
            }
        )
    for name, scripts in _STORM.items():
        for kind, op, probability, times in scripts:
            made[name].append(
                {
                    "kind": kind,
                    "op": op,
                    "probability": probability,
                    "times": times,
                    "seed": draw.randrange(10**6),
                    "retry_after": _RESTS,
                    "seconds": _SILENCE,
                }
            )
    return made


class Weather:
    """Everything that is done to one stack; `note(kind, text)` tells of each."""

    def __init__(
        self, stack: RunningStack, http: httpx.AsyncClient, note: Note
    ) -> None:
        self._stack, self._http, self._note = stack, http, note
        self._fired: Counter[tuple[str, int]] = Counter()
        self.killed: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()

    async def begin(self, scripts: Mapping[str, list[dict[str, Any]]]) -> None:
        """From now on providers misbehave."""
        for name, script in scripts.items():
            await self._control("PUT", name, "faults", script)

    async def end(self) -> None:
        """Tells what was not told yet; who looks at the ruins is not hindered."""
        await self.look()
        for name in _STORM:
            await self._control("PUT", name, "faults", [])

    async def strike(self, plan: Sequence[Kill]) -> None:
        """Kills what the plan says. A part that is not up again yet is waited for."""
        last: dict[str, int] = {}
        for kill in plan:
            await asyncio.sleep(kill.after)
            pid = await self._next_life(kill.part, last.get(kill.part))
            last[kill.part] = pid
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self.killed[kill.part] += 1
                self._note("kill", f"kill -9 {kill.part} [{pid}]")

    async def deafness(self, draw: random.Random) -> None:
        """For a while Stripe's events are dropped, and never sent again."""
        await asyncio.sleep(draw.uniform(1, 5))
        await self._webhooks(enabled=False)
        self._note("fault", "stripe drops its events")
        await asyncio.sleep(draw.uniform(4, 8))
        await self._webhooks(enabled=True)
        self._note("calm", "stripe sends events again")

    async def watch(self) -> None:
        """Tells of each fault when it has happened; for ever."""
        while True:
            await self.look()
            await asyncio.sleep(0.5)

    async def look(self) -> None:
        """What has happened since the last look."""
        for name in _STORM:
            for number, script in enumerate(await self._scripts(name)):
                more = script["fired"] - self._fired[name, number]
                self._fired[name, number] += more
                for _ in range(more):
                    self._tell(name, script)

    def _tell(self, name: str, script: Mapping[str, Any]) -> None:
        if victim := script.get("victim"):
            self.killed[victim] += 1
            self._note("kill", f"{name} does it, and kill -9 {victim}")
        else:
            self.failed[script["kind"]] += 1
            self._note("fault", f"{name} {_TOLD[script['kind']]}")

    async def _next_life(self, part: str, last: int | None) -> int:
        """The part's process, once it is another than the one killed last."""
        while (pid := self._pid(part)) is None or pid == last:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        return pid

    def _pid(self, part: str) -> int | None:
        with suppress(OSError, ValueError, KeyError):
            return int(self._stack.dev["processes"][part])
        return None

    async def _scripts(self, name: str) -> list[dict[str, Any]]:
        with suppress(httpx.HTTPError, ValueError):
            url = f"{self._stack.dev['simulators'][name]}/_simulator/faults"
            found: list[dict[str, Any]] = (await self._http.get(url)).json()
            return found
        return []

    async def _webhooks(self, *, enabled: bool) -> None:
        await self._control("POST", "stripe", "webhooks", {"enabled": enabled})

    async def _control(self, method: str, name: str, path: str, body: Any) -> None:
        """Until it is done: simulators die, too."""
        while True:
            with suppress(httpx.HTTPError):
                url = f"{self._stack.dev['simulators'][name]}/_simulator/{path}"
                answer = await self._http.request(method, url, json=body)
                if answer.is_success:
                    return
            await asyncio.sleep(0.2)


_TOLD: Final = {
    "fail": "answers 500",
    "throttle": "answers 429",
    "garbage": "does it and answers garbage",
    "execute_then_timeout": "does it and never answers",
    "execute_then_fail": "does it and answers 500",
}
