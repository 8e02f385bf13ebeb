"""One line of the checklist, and the probes that say them."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from workers.doctor.settings import DoctorSettings

_CLOCKS_AGREE, _CLOCKS_DIFFER = timedelta(seconds=2), timedelta(seconds=30)


class Outcome(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Line:
    """`said` is what is so; `advice` what to do, for whatever is not ok."""

    name: str
    outcome: Outcome
    said: str
    advice: str = ""


class Unreachable(Exception):
    """What the probe looks at is not there: its line, and the end of the probe."""

    def __init__(self, name: str, said: str, advice: str) -> None:
        super().__init__(said)
        self.line = failure(name, said, advice)


@dataclass(frozen=True)
class Probe:
    """Looks at one thing by itself, in at most `patience` seconds.

    `needs` names settings, `after` a probe that must have reached its thing first.
    """

    area: str
    look: Callable[[DoctorSettings], AsyncIterator[Line]]
    needs: tuple[str, ...] = ()
    after: str | None = None
    patience: float = 10.0


@dataclass
class Examined:
    """What one probe said. `reached`: it did not end before it began."""

    probe: Probe
    lines: list[Line] = field(default_factory=list)
    reached: bool = True


def ok(name: str, said: str) -> Line:
    """Nothing to do."""
    return Line(name, Outcome.OK, said)


def warning(name: str, said: str, advice: str) -> Line:
    """It works, and somebody should look."""
    return Line(name, Outcome.WARNING, said, advice)


def failure(name: str, said: str, advice: str) -> Line:
    """Orders will suffer."""
    return Line(name, Outcome.FAILURE, said, advice)


def skipped(name: str, said: str, advice: str = "") -> Line:
    """Nobody looked, for this reason."""
    return Line(name, Outcome.SKIPPED, said, advice)


def clock(whose: str, theirs: datetime, before: datetime, after: datetime) -> Line:
    """`theirs` was read between `before` and `after` by our clock."""
    early, late = before - theirs, theirs - after
    apart = max(early, late, timedelta())
    told = f"{apart.total_seconds():.1f} s {'behind' if early > late else 'ahead'}"
    name = "clock"
    if apart <= _CLOCKS_AGREE:
        return ok(name, f"agrees with {whose}")
    advice = (
        "Keep both machines' clocks by NTP: `timedatectl set-ntp true`. Signatures,"
        " leases and time-outs are told by the clock."
    )
    line = warning if apart <= _CLOCKS_DIFFER else failure
    return line(name, f"{whose} is {told} of this machine", advice)
