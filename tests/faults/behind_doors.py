"""`behind_doors.py POSTGRES_PORT TEMPORAL_PORT DATA_DIR`: `mpanel dev`, whose worker
and API reach PostgreSQL and Temporal through these ports."""

import asyncio
import sys
from pathlib import Path

from rich.console import Console

from workers.dev.screen import TerminalScreen
from workers.dev.stack import Commands, Stack

_THROUGH = (sys.executable, str(Path(__file__).with_name("through.py")))
_OURS = Commands()

if __name__ == "__main__":
    postgres, temporal, data_dir = sys.argv[1:]
    stack = Stack(
        Path(data_dir),
        TerminalScreen(Console()),
        ports={"api": 0, "temporal": 0, "temporal_ui": 0},
        commands=Commands(
            worker=(*_THROUGH, postgres, temporal, *_OURS.worker),
            api=(*_THROUGH, postgres, temporal, *_OURS.api),
        ),
    )
    asyncio.run(stack.run())
