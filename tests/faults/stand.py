"""A whole stack as processes of its own, and what a bad day does to them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, chdir, contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx

from tests.conftest import free_port
from tests.dev.program import PATIENT, ROOT, alive, mentioning, until
from workers.dev.folder import DataFolder
from workers.dev.keys import Keys
from workers.dev.layout import Layout
from workers.dev.ports import FILE as PORTS
from workers.dev.process import tail
from workers.dev.running import COMMAND, RunningStack, inheriting, remove, running

PARTS = ("worker", "api", "temporal", "postgres")
_ANY_PORTS = {"api": 0, "temporal": 0, "temporal_ui": 0}


class Stand:
    """`command`: how the stack is started, without its data folder. `settings`: its
    own, at every start; whatever else is started meanwhile has none of them."""

    def __init__(
        self,
        data_dir: Path,
        command: Sequence[str] = COMMAND,
        *,
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.data_dir = data_dir
        self._command, self._settings = command, settings
        self._stack: RunningStack | None = None
        self._life = ExitStack()

    def up(self) -> None:
        """Starts it on whatever the data folder holds; returns when it is ready."""
        begun = running(
            self.data_dir,
            keep=False,
            ports=_ANY_PORTS if self._command is COMMAND else {},
            command=self._command,
        )
        with chdir(ROOT), inheriting(self._settings):
            self._stack = self._life.enter_context(begun)

    def down(self, sign: signal.Signals = signal.SIGINT) -> None:
        """Ctrl-C; returns when no process is left."""
        if self._stack is not None:
            with suppress(ProcessLookupError):
                os.kill(self._stack.supervisor, sign)
            until(lambda: not mentioning(self.data_dir), within=PATIENT)
            self._life.close()
            self._stack = None

    def end(self) -> None:
        """Stops it and forgets all it kept."""
        self.down()
        remove(self.data_dir)

    @property
    def supervisor(self) -> int:
        """The process that restarts the others."""
        assert self._stack is not None
        return self._stack.supervisor

    @property
    def dev(self) -> dict[str, Any]:
        """dev.json, as of now."""
        assert self._stack is not None
        return self._stack.dev

    def pid(self, part: str) -> int:
        """The part's process, as of now."""
        return int(self.dev["processes"][part])

    def restarted(self, part: str, *, since: int) -> None:
        """Waits until the part is another process than `since`; how soon is not told
        by tests of faults."""
        try:
            until(lambda: self.pid(part) != since, within=PATIENT)
        except AssertionError as error:
            log = self.data_dir / "logs" / "dev.log"
            state = "lives" if alive(since) else "is dead"
            error.add_note(f"{part} ({since}) {state}; the stack said:\n{tail(log)}")
            raise

    @property
    def layout(self) -> Layout:
        """Which environment the stack gives to whom."""
        folder = DataFolder(self.data_dir)
        ports: Mapping[str, int] = folder.read(PORTS) or {}
        return Layout(folder, ports, Keys.of(folder))

    @property
    def starts(self) -> int:
        """How often a worker has come up."""
        log = self.data_dir / "logs" / "worker.log"
        return log.read_text(errors="replace").count("worker_ready")

    def kill(self, part: str) -> None:
        """kill -9."""
        os.kill(self.pid(part), signal.SIGKILL)

    @contextmanager
    def frozen(self, pid: int) -> Iterator[None]:
        """Stopped, as a hung process is, and awake again at the end."""
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    @contextmanager
    def dead(self, part: str) -> Iterator[None]:
        """Killed, and nobody starts it again until the end."""
        with self.frozen(self.supervisor):
            pid = self.pid(part)
            os.kill(pid, signal.SIGKILL)
            until(lambda: not alive(pid), within=PATIENT)
            yield
        self.restarted(part, since=pid)

    @contextmanager
    def second_api(self) -> Iterator[str]:
        """Another API process on the same stack; gives its address."""
        url = f"http://127.0.0.1:{(port := free_port())}"
        process = subprocess.Popen(
            [sys.executable, "-m", "workers.cli", "api", "--port", str(port)],
            cwd=ROOT,
            env=self.layout.api(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            until(lambda: _healthy(url), within=PATIENT)
            yield url
        finally:
            process.terminate()
            process.wait(timeout=PATIENT)

    def doctor(self, what: str = "--money") -> "subprocess.CompletedProcess[str]":
        """`mpanel doctor`, with the worker's environment."""
        return subprocess.run(
            [sys.executable, "-m", "workers.cli", "doctor", what],
            cwd=ROOT,
            env=self.layout.worker(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


def _healthy(url: str) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(f"{url}/api/health", timeout=2).is_success
    return False
