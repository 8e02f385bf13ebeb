"""Keeps parts alive: starts, watches, restarts, stops.

A part that dies after it was ready is started again at once. One that keeps dying
before it is ready waits longer each time, and its log is shown.
"""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from workers.dev.errors import PartFailed
from workers.dev.process import Process, describe, tail

_TRIES = 3
_FIRST_START = 60.0
_POLL = 0.02
_LONGEST_PAUSE = 10.0


async def _at_once() -> bool:
    return True


async def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Part:
    """What to run, and how to know that it is ready.

    `clean` runs before each start and after the last end; `patience` is the seconds
    between `stop_signal` and SIGKILL.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    ready: Callable[[], Awaitable[bool]] = _at_once
    clean: Callable[[], Awaitable[None]] = _nothing
    identity: str = "same"
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL
    patience: float = 10.0
    descriptors: Sequence[int] = ()


class Report(Protocol):
    """Who is told what happens."""

    def ready(self, name: str, seconds: float) -> None:
        """The part is ready, for the first time or again."""

    def died(self, name: str, how: str) -> None:
        """The part ended though nobody asked it to."""

    def keeps_dying(self, name: str, log: str) -> None:
        """It ended before it was ready, several times in a row."""


@dataclass
class _Kept:
    part: Part
    first: "asyncio.Future[None]"
    keeper: "asyncio.Task[None] | None" = None
    process: Process | None = None
    failures: int = 0
    since: float = field(default_factory=time.monotonic)


class Supervisor:
    """The parts of one stack. All calls come from the event loop's thread."""

    def __init__(self, logs: Path, report: Report, changed: Callable[[], None]) -> None:
        self._logs, self._report, self._changed = logs, report, changed
        self._kept: dict[str, _Kept] = {}

    @property
    def processes(self) -> dict[str, int]:
        """The pid of each part, as of now."""
        return {
            name: kept.process.pid for name, kept in self._kept.items() if kept.process
        }

    async def start(self, part: Part) -> None:
        """Returns when the part is ready; from then on it is kept alive.

        Raises `PartFailed` after three deaths or a minute without readiness.
        """
        first = asyncio.get_running_loop().create_future()
        kept = self._kept[part.name] = _Kept(part, first)
        kept.keeper = asyncio.create_task(self._keep(kept), name=f"keep {part.name}")
        try:
            done, _ = await asyncio.wait(
                {first, kept.keeper},
                timeout=_FIRST_START,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not done:
                raise self._failed(part.name, "did not become ready within a minute")
            for outcome in done:
                outcome.result()
        finally:
            first.cancel()

    async def run(self, part: Part) -> None:
        """Runs a part that ends by itself. Raises `PartFailed` unless it ends well."""
        began = time.monotonic()
        process = self._spawn(part)
        try:
            code = await process.ended()
        finally:
            process.kill()
        if code != 0:
            raise self._failed(part.name, describe(code))
        self._report.ready(part.name, time.monotonic() - began)

    async def watch(self) -> None:
        """Waits for ever; raises what went wrong in the supervisor itself."""
        keepers = [kept.keeper for kept in self._kept.values() if kept.keeper]
        await asyncio.gather(*keepers)

    async def stop(self, name: str) -> None:
        """Stops the part, if it was started, and returns when it has ended."""
        if (kept := self._kept.pop(name, None)) is None:
            return
        if kept.keeper is not None:
            kept.keeper.cancel()
            await asyncio.wait({kept.keeper})
        if kept.process is not None:
            part = kept.part
            await kept.process.stop(part.stop_signal, patience=part.patience)
            await part.clean()

    def kill(self) -> None:
        """Asks nobody any more."""
        for kept in self._kept.values():
            if kept.process is not None:
                kept.process.kill()

    async def _keep(self, kept: _Kept) -> None:
        part = kept.part
        while True:
            await part.clean()
            kept.process = process = self._spawn(part)
            self._changed()
            if await _becomes_ready(part, process):
                self._report.ready(part.name, time.monotonic() - kept.since)
                kept.failures = 0
                if not kept.first.done():
                    kept.first.set_result(None)
            else:
                kept.failures += 1
            code = await process.ended()
            process.kill()
            kept.since = time.monotonic()
            self._died(kept, code)
            await asyncio.sleep(_pause(kept.failures))

    def _died(self, kept: _Kept, code: int) -> None:
        name = kept.part.name
        if kept.failures >= _TRIES and not kept.first.done():
            kept.first.set_exception(self._failed(name, describe(code)))
        elif kept.failures == _TRIES:
            self._report.keeps_dying(name, tail(self._log(name)))
        elif kept.failures < _TRIES:
            self._report.died(name, describe(code))

    def _spawn(self, part: Part) -> Process:
        return Process.start(
            part.command,
            environment=part.environment,
            log=self._log(part.name),
            identity=part.identity,
            death_signal=part.death_signal,
            descriptors=part.descriptors,
        )

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def _failed(self, name: str, reason: str) -> PartFailed:
        return PartFailed(name, reason, tail(self._log(name)))


def _pause(failures: int) -> float:
    """Seconds before the next start: none, 0.1, 0.2, 0.4 ... 10."""
    return min(_LONGEST_PAUSE, 0.1 * 2 ** (failures - 1)) if failures else 0.0


async def _becomes_ready(part: Part, process: Process) -> bool:
    """False if it ended first."""

    async def until_ready() -> None:
        while not await part.ready():  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(_POLL)

    ready = asyncio.create_task(until_ready())
    ended = asyncio.create_task(process.ended())
    try:
        await asyncio.wait({ready, ended}, return_when=asyncio.FIRST_COMPLETED)
        return not ended.done() and ready.exception() is None
    finally:
        for task in (ready, ended):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
