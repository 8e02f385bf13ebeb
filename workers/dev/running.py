"""A stack as another process sees it: found by its data folder, or started."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from workers.dev.errors import PartFailed, StackError
from workers.dev.folder import DataFolder, holder
from workers.dev.ports import OPTIONS
from workers.dev.postgres import ELSEWHERE
from workers.dev.process import BOUND, describe, tail

COMMAND = (sys.executable, "-m", "workers.cli", "dev", "--data-dir")
_PATIENCE = 90.0


class RunningStack:
    """A stack that is ready."""

    def __init__(self, data_dir: Path, *, supervisor: int) -> None:
        self.data_dir = data_dir
        self.supervisor = supervisor

    @property
    def dev(self) -> dict[str, Any]:
        """The content of dev.json, as of now."""
        content: dict[str, Any] = json.loads((self.data_dir / "dev.json").read_bytes())
        return content


@contextmanager
def running(
    data_dir: Path,
    *,
    keep: bool,
    ports: Mapping[str, int | None],
    command: Sequence[str] = COMMAND,
) -> Iterator[RunningStack]:
    """The stack of this data folder: the one that runs, else a new one.

    A new one is stopped at the end unless `keep`; without `keep` it ends also when
    we are killed. Raises `StackError` when it does not come up.
    """
    supervisor = holder(data_dir)
    if supervisor is not None and _up(data_dir, lambda: holder(data_dir) is None):
        yield RunningStack(data_dir, supervisor=supervisor)
        return
    log = data_dir / "logs" / "dev.log"
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    (data_dir / "dev.json").unlink(missing_ok=True)
    child = _start([*command, str(data_dir), *_options(ports)], log, bound=not keep)
    stop = True
    try:
        if not _up(data_dir, lambda: child.poll() is not None):
            raise PartFailed("the stack", describe(child.wait()), tail(log, 40))
        stop = not keep
        yield RunningStack(data_dir, supervisor=child.pid)
    finally:
        if stop:
            with suppress(ProcessLookupError):
                child.send_signal(signal.SIGTERM)
            child.wait()


@contextmanager
def inheriting(settings: Mapping[str, str]) -> Iterator[None]:
    """A stack that is started meanwhile has these settings."""
    before = dict(os.environ)
    os.environ.update(settings)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def remove(data_dir: Path) -> None:
    """Removes everything a stopped stack kept, wherever it lies."""
    if elsewhere := DataFolder(data_dir).read(ELSEWHERE):
        shutil.rmtree(elsewhere["home"], ignore_errors=True)
    shutil.rmtree(data_dir, ignore_errors=True)


def _options(ports: Mapping[str, int | None]) -> list[str]:
    """Those of `mpanel dev` for the ports that were chosen."""
    return [
        f"{OPTIONS[name]}={port}" for name, port in ports.items() if port is not None
    ]


def _start(
    command: Sequence[str], log: Path, *, bound: bool
) -> "subprocess.Popen[bytes]":
    if bound:
        wrapper = [sys.executable, "-I", "-S", str(BOUND)]
        who = [str(os.getpid()), str(int(signal.SIGTERM)), "same"]
        command = [*wrapper, *who, *command]
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _up(data_dir: Path, ended: Callable[[], bool]) -> bool:
    """Waits for dev.json; False if the stack ended instead."""
    deadline = time.monotonic() + _PATIENCE
    while not (data_dir / "dev.json").exists():
        if ended():
            return False
        if time.monotonic() > deadline:
            raise StackError(
                f"the stack in {data_dir} is not ready after {_PATIENCE:.0f} s: look"
                f" into {data_dir / 'logs'}."
            )
        time.sleep(0.02)
    return True
