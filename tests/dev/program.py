"""A stack run as a program of its own, and what can be seen of it from outside."""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
# Seconds until what a test waits for will not come; the machine may be slow.
PATIENT = 90.0


def until(true: Callable[[], Any], *, within: float) -> float:
    """Seconds until it was true; fails after `within`."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < within, f"not within {within} s"
        time.sleep(0.01)
    return time.monotonic() - began


def alive(pid: int) -> bool:
    with suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state not in "ZX"
    return False


def mentioning(path: Path) -> list[int]:
    """Living processes that have this path in their command or as their folder."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                words = Path(f"/proc/{entry.name}/cmdline").read_bytes()
                where = os.readlink(f"/proc/{entry.name}/cwd")
                if str(path).encode() in words or where.startswith(str(path)):
                    found.append(int(entry.name))
    return [pid for pid in found if alive(pid)]


def order_of_ends(pids: dict[str, int]) -> list[str]:
    """The names in the order in which their processes end."""
    handles = {os.pidfd_open(pid): name for name, pid in pids.items()}
    ended: list[str] = []
    # It tells in their order also of those that end while we are not looking.
    with select.epoll() as poll:
        for handle in handles:
            poll.register(handle, select.EPOLLIN)
        while len(ended) < len(handles):
            for handle, _ in poll.poll():
                poll.unregister(handle)
                ended.append(handles[handle])
                os.close(handle)
    return ended


class Program:
    """`mpanel dev` with stand-ins for worker, API, simulators and schema."""

    def __init__(self, data_dir: Path, *changes: str) -> None:
        self.data_dir = data_dir
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.dev.stack", str(data_dir), *changes],
            cwd=ROOT,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )

    def ready(self) -> "Program":
        until(
            lambda: self.dev_file.exists() or self.process.poll() is not None,
            within=PATIENT,
        )
        assert self.process.poll() is None, self.said()
        return self

    @property
    def dev_file(self) -> Path:
        return self.data_dir / "dev.json"

    @property
    def dev(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.dev_file.read_text())
        return content

    @property
    def pids(self) -> dict[str, int]:
        pids: dict[str, int] = self.dev["processes"]
        return pids

    def said(self) -> str:
        """Everything it printed, once it has ended."""
        self.process.wait(timeout=PATIENT)
        self._output.seek(0)
        return self._output.read()

    def stop(self) -> str:
        """Ctrl-C, unless it has ended; everything it printed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.said()

    def kill(self) -> None:
        """-9; what it left must not be taken for its successor's."""
        self.process.kill()
        self.process.wait()
        self.dev_file.unlink()

    def close(self) -> None:
        self.stop()
        self._output.close()
