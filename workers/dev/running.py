"""A stack as another process sees it: found by its data folder, or started."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from workers.dev.errors import PartFailed, StackError
from workers.dev.folder import holder
from workers.dev.process import describe, tail

_BOUND = Path(__file__).with_name("bound.py")
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
    data_dir: Path, *, keep: bool, ports: dict[str, int | None]
) -> Iterator[RunningStack]:
    """The stack of this data folder: the one that runs, else a new one.

    A new one is stopped at the end unless `keep`; without `keep` it ends also when
    we are killed. Raises `StackError` when it does not come up.
    """
    if (supervisor := holder(data_dir)) is not None:
        _wait(data_dir, lambda: holder(data_dir) is None)
        yield RunningStack(data_dir, supervisor=supervisor)
        return
    log = data_dir / "logs" / "dev.log"
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    (data_dir / "dev.json").unlink(missing_ok=True)
    child = _start(data_dir, log, keep=keep, ports=ports)
    stop = not keep
    try:
        _wait(data_dir, lambda: child.poll() is not None)
        yield RunningStack(data_dir, supervisor=child.pid)
    except _Ended:
        stop = True
        how = describe(child.wait())
        raise PartFailed("the stack", how, tail(log, 40)) from None
    finally:
        if stop:
            with suppress(ProcessLookupError):
                child.send_signal(signal.SIGTERM)
            child.wait()


class _Ended(Exception):
    pass


def _start(
    data_dir: Path, log: Path, *, keep: bool, ports: dict[str, int | None]
) -> "subprocess.Popen[bytes]":
    words = [sys.executable, "-m", "workers.cli", "dev", "--data-dir", str(data_dir)]
    for name, option in (
        ("api", "--port"),
        ("temporal", "--temporal-port"),
        ("temporal_ui", "--ui-port"),
    ):
        if (port := ports.get(name)) is not None:
            words += [option, str(port)]
    if not keep:
        bound = [sys.executable, "-I", "-S", str(_BOUND)]
        words = [*bound, str(os.getpid()), str(int(signal.SIGTERM)), "same", *words]
    with log.open("ab") as output:
        return subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait(data_dir: Path, ended: Any) -> None:
    """Until dev.json is there."""
    deadline = time.monotonic() + _PATIENCE
    while not (data_dir / "dev.json").exists():
        if ended():
            raise _Ended
        if time.monotonic() > deadline:
            raise StackError(
                f"the stack in {data_dir} is not ready after {_PATIENCE:.0f} s: look"
                f" into {data_dir / 'logs'}."
            )
        time.sleep(0.02)
