"""One child: its own session, output to a log, never outliving us.

Children are started from the thread that runs the event loop, the main thread: the
kernel sends the parent-death signal when the *thread* that forked ends.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

BOUND = Path(__file__).with_name("bound.py")


class Process:
    """A started child."""

    def __init__(self, popen: "subprocess.Popen[bytes]") -> None:
        self._popen = popen
        self.pid = popen.pid

    @classmethod
    def start(
        cls,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
        identity: str = "same",
        death_signal: int = signal.SIGKILL,
        descriptors: Sequence[int] = (),
    ) -> "Process":
        """Runs `command`; `identity` and `death_signal` as in bound.py."""
        bound = [sys.executable, "-I", "-S", str(BOUND)]
        who = [str(os.getpid()), str(int(death_signal)), identity]
        with log.open("ab") as output:
            popen = subprocess.Popen(
                [*bound, *who, *command],
                env=dict(environment),
                cwd="/" if identity != "same" else None,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=tuple(descriptors),
            )
        return cls(popen)

    async def ended(self) -> int:
        """Waits for the end; the exit code, negative for a signal."""
        if (code := self._popen.poll()) is not None:
            return code
        loop = asyncio.get_running_loop()
        over: asyncio.Future[None] = loop.create_future()
        handle = os.pidfd_open(self.pid)
        loop.add_reader(handle, _settle, over)
        try:
            await over
        finally:
            loop.remove_reader(handle)
            os.close(handle)
        return self._popen.wait()

    async def stop(self, sign: int, *, patience: float) -> None:
        """Asks with `sign`; after `patience` seconds no longer asks."""
        if self._popen.poll() is None:
            self._popen.send_signal(sign)
            with suppress(TimeoutError):
                await asyncio.wait_for(self.ended(), patience)
        self.kill()
        await self.ended()

    def kill(self) -> None:
        """Ends it and whatever of its process group is left, at once."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


def _settle(over: "asyncio.Future[None]") -> None:
    if not over.done():
        over.set_result(None)


def describe(code: int) -> str:
    """`ended with code 3`, `was killed by SIGKILL`."""
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with code {code}"


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log."""
    with suppress(FileNotFoundError):
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 16_384))
            text = file.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-lines:])
    return ""
