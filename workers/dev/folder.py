"""The data folder: who holds it, and files that are never half written."""

import fcntl
import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from workers.dev.errors import StackError

DEFAULT = ".mpanel"


def data_dir(given: Path | None) -> Path:
    """`--data-dir`, else $MPANEL_DATA_DIR, else `.mpanel`; absolute."""
    return (given or Path(os.environ.get("MPANEL_DATA_DIR") or DEFAULT)).absolute()


class DataFolder:
    """Everything a stack remembers. Held by one supervisor at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.logs = path / "logs"
        self._lock = -1

    def hold(self) -> None:
        """Makes the folder and locks it until `release`, or until we die.

        Raises `StackError` naming the process that holds it.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.logs.mkdir(exist_ok=True)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            reason = f"cannot use {self.path} as data folder: {error.strerror}"
            raise StackError(f"{reason}. Choose another one by --data-dir.") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._lock, 32, 0).decode().strip() or "unknown"
            raise StackError(
                f"{self.path} is in use by another `mpanel dev` (process {holder}).\n"
                f"Stop it with `kill {holder}`, or give this one a --data-dir of its"
                " own."
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Lets the next one in."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def read(self, name: str) -> dict[str, Any] | None:
        """The content of a JSON file, None if there is none."""
        with suppress(FileNotFoundError):
            content: dict[str, Any] = json.loads((self.path / name).read_bytes())
            return content
        return None

    def write(
        self, name: str, content: dict[str, Any], *, durable: bool = True
    ) -> None:
        """Replaces a JSON file; readers see the old or the new one. Mode 0600.

        Unless `durable` it may be lost with the machine, and no slow disk is awaited.
        """
        self.write_text(name, json.dumps(content, indent=2) + "\n", durable=durable)

    def write_text(self, name: str, text: str, *, durable: bool = True) -> Path:
        """Replaces a file of mode 0600; returns where it is."""
        target = self.path / name
        handle, temporary = tempfile.mkstemp(dir=self.path, prefix=f".{name}.")
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        Path(temporary).replace(target)
        return target

    def remove(self, name: str) -> None:
        """Removes a file, if it is there."""
        (self.path / name).unlink(missing_ok=True)


def holder(path: Path) -> int | None:
    """The pid of the supervisor that holds this data folder now."""
    with suppress(OSError, ValueError):
        lock = os.open(path / "lock", os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(os.pread(lock, 32, 0))
        finally:
            os.close(lock)
    return None
