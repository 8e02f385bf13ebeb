"""`stack.py DATA_DIR [KEY=STAND-IN ...]`: `mpanel dev` with stand-ins, as a program.

KEY is one of schema, simulators, worker, api; `namespaces=no` forbids them.
"""

import asyncio
import sys
from pathlib import Path

from rich.console import Console

from workers.dev.errors import PartFailed, StackError
from workers.dev.screen import TerminalScreen
from workers.dev.stack import Commands, Stack

_STANDIN = (sys.executable, str(Path(__file__).with_name("standin.py")))


def main(data_dir: str, *changes: str) -> None:
    changed = dict(change.split("=") for change in changes)
    names = ("schema", "simulators", "worker", "api")
    stack = Stack(
        Path(data_dir),
        TerminalScreen(Console()),
        ports={"api": 0, "temporal": 0, "temporal_ui": 0},
        commands=Commands(
            **{name: (*_STANDIN, changed.get(name, name)) for name in names}
        ),
        namespaces=changed.get("namespaces") != "no",
    )
    try:
        asyncio.run(stack.run())
    except PartFailed as failed:
        sys.exit(f"{failed.log}\n{failed}")
    except StackError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(*sys.argv[1:])
