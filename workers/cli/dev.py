"""`mpanel dev`."""

from pathlib import Path
from typing import Annotated

import typer

DataDir = Annotated[
    Path | None,
    typer.Option(
        help="Where everything is kept. Default: $MPANEL_DATA_DIR, else .mpanel",
        show_default=False,
        file_okay=False,
    ),
]
Port = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=65535,
        help="The API's port, 0 for a free one. Default: the last one, else 8000.",
        show_default=False,
    ),
]
TemporalPort = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=65535,
        help="Temporal's port. Default: the last one, else 7233.",
        show_default=False,
    ),
]
UiPort = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=65535,
        help="The Temporal UI's port. Default: the last one, else 8233.",
        show_default=False,
    ),
]


def dev(
    data_dir: DataDir = None,
    port: Port = None,
    temporal_port: TemporalPort = None,
    ui_port: UiPort = None,
) -> None:
    """Run the whole stack on this machine until Ctrl-C.

    PostgreSQL, Temporal with its UI, simulators of every provider, worker and API, all
    on 127.0.0.1. A part that dies is started again. Everything is kept in the data
    folder: the next start finds all orders, jobs and running workflows. Addresses,
    passwords and process ids stand in **dev.json** there.

    **Examples**

        mpanel dev
        mpanel dev --data-dir /tmp/second --port 0     a second stack beside the first
    """
    import asyncio

    from rich.console import Console

    from workers.dev.folder import data_dir as chosen
    from workers.dev.screen import TerminalScreen
    from workers.dev.stack import Stack

    wanted = {"api": port, "temporal": temporal_port, "temporal_ui": ui_port}
    screen = TerminalScreen(Console())
    asyncio.run(Stack(chosen(data_dir), screen, ports=wanted).run())
