"""Fault scripts: what goes wrong, at which call, and what is left behind.

reject                 the provider says no; nothing happened         400
fail                   5xx before anything happened                   500
throttle               429 with Retry-After; nothing happened         429
slow                   `seconds` (5) late, then as usual
hold                   waits until the scripts are others, `seconds` (60) at most
garbage                it happened; the answer is unreadable
execute_then_timeout   it happened; no answer for `seconds` (30), then a dead line
execute_then_fail      it happened; the answer is 5xx                 500
kill_before            `victim` dies of kill -9; nothing happened, no answer
execute_then_kill      it happened, `victim` dies of kill -9, no answer
"""

import json
import os
import random
import signal
from collections.abc import Mapping
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Self

STATUS = {"reject": 400, "fail": 500, "throttle": 429, "execute_then_fail": 500}
KILLS = frozenset({"kill_before", "execute_then_kill"})
KINDS = KILLS | STATUS.keys() | {"slow", "hold", "garbage", "execute_then_timeout"}


class Refused(Exception):
    """The provider answers with an error. Each protocol words it in its own way."""

    def __init__(
        self,
        status: int,
        code: str = "",
        message: str = "",
        *,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.retry_after = retry_after


class Withheld(Exception):
    """No answer comes: hold the line for `seconds`, then drop it."""

    def __init__(self, seconds: float) -> None:
        super().__init__("withheld")
        self.seconds = seconds


class Killed(Withheld):
    """Nobody is left to be answered."""


class Garbled(Exception):
    """What was asked for is done, and the answer makes no sense."""


class BadScript(ValueError):
    """A fault script that cannot mean anything."""


@dataclass(frozen=True)
class Script:
    """One line of a fault script; the fields are those of `PUT /_simulator/faults`."""

    kind: str
    op: str = "*"
    at: int | None = None
    times: int | None = None
    probability: float | None = None
    seed: int = 0
    status: int | None = None
    code: str = ""
    message: str = "scripted by the simulator"
    retry_after: float = 5.0
    seconds: float | None = None
    victim: str = ""

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Self:
        """Raises `BadScript`."""
        if unknown := raw.keys() - {field.name for field in fields(cls)}:
            raise BadScript(f"unknown keys: {', '.join(sorted(unknown))}")
        if raw.get("kind") not in KINDS:
            raise BadScript(f"kind is one of {', '.join(sorted(KINDS))}")
        script = cls(**raw)
        if script.kind in KILLS and not script.victim:
            raise BadScript(f"{script.kind} needs a victim")
        if script.at is not None and script.probability is not None:
            raise BadScript("at and probability exclude each other")
        return script

    def lasts(self, usual: float) -> float:
        """Its seconds, or as long as such a fault usually does."""
        return usual if self.seconds is None else self.seconds

    def matches(self, op: str) -> bool:
        """Whether the operation is one this script counts."""
        return fnmatchcase(op, self.op)

    def fires(self, seen: int, fired: int) -> bool:
        """Whether the `seen`-th matching call (from 1) fails, after `fired` did.

        Without `times` a script fires once, or for ever if it draws by probability.
        The draw depends on nothing but seed and position: a run can be repeated.
        """
        times = self.times
        if times is None:
            times = 1 if self.probability is None else 0
        if times and fired >= times:
            return False
        if self.probability is not None:
            draw = random.Random(f"{self.seed}:{seen}").random()
            return draw < self.probability
        return seen >= (self.at or 1)

    def refusal(self) -> Refused | None:
        """The error this script answers with, if it is one that answers."""
        if (usual := STATUS.get(self.kind)) is None:
            return None
        retry_after = self.retry_after if self.kind == "throttle" else None
        return Refused(
            self.status or usual, self.code, self.message, retry_after=retry_after
        )


def kill(victim: str, data_dir: Path) -> None:
    """Kills -9 the process that `dev.json` names now; nobody of that name: nothing."""
    try:
        processes = json.loads((data_dir / "dev.json").read_text())["processes"]
        pid = int(processes[victim])
    except (OSError, ValueError, KeyError, TypeError):
        return
    if pid > 1:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return
