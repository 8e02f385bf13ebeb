"""`mpanel demo`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.dev import Port, TemporalPort, UiPort

if TYPE_CHECKING:
    from rich.console import Console


def demo(
    data_dir: Annotated[
        Path | None,
        typer.Option(
            help="Use the stack of this data folder; it is started if it is not up."
            " Default: a new one in a temporary folder.",
            show_default=False,
            file_okay=False,
        ),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the stack running.")
    ] = False,
    chaos: Annotated[
        bool,
        typer.Option(
            "--chaos",
            help="Many orders while every part is killed and providers misbehave;"
            " then hold what came of them against an undisturbed run.",
        ),
    ] = False,
    orders: Annotated[
        int, typer.Option(min=1, max=500, help="How many, with --chaos.")
    ] = 20,
    seed: Annotated[
        int | None,
        typer.Option(
            help="Repeats a run of --chaos. Default: a new one, which is printed.",
            show_default=False,
        ),
    ] = None,
    port: Port = None,
    temporal_port: TemporalPort = None,
    ui_port: UiPort = None,
) -> None:
    """Bring the stack up, pay for one order, watch it become a live website.

    Ends with 0 only when the new website answers and its welcome mail has arrived; any
    other end names the step that failed and why.

    **Examples**

        mpanel demo
        mpanel demo --keep             look around afterwards
        mpanel demo --data-dir .mpanel     on the stack that `mpanel dev` runs here
        mpanel demo --chaos                kill everything, and see what comes of it
    """
    if chaos:
        if keep or data_dir is not None:
            raise typer.BadParameter("--chaos makes and removes stacks of its own")
        raise typer.Exit(_worst_day(orders, seed))

    import tempfile

    from rich.console import Console

    from workers.dev.errors import StackError
    from workers.dev.running import remove

    console = Console()
    folder = (data_dir or Path(tempfile.mkdtemp(prefix="mpanel-demo-"))).absolute()
    wanted = {"api": port, "temporal": temporal_port, "temporal_ui": ui_port}
    live = False
    try:
        live = _tell(console, folder, keep=keep, ports=wanted)
    except StackError:
        keep = False
        raise
    finally:
        if data_dir is None and not keep:
            remove(folder)
    raise typer.Exit(0 if live else 1)


def _worst_day(orders: int, seed: int | None) -> int:
    """0 only if it ended as the undisturbed one."""
    import secrets

    from rich.console import Console

    from workers.chaos.play import Plan, play

    chosen = secrets.randbelow(10**6) if seed is None else seed
    return 0 if play(Console(), Plan(chosen, orders)) else 1


def _tell(
    console: "Console", folder: Path, *, keep: bool, ports: dict[str, int | None]
) -> bool:
    import time
    from contextlib import ExitStack

    from workers.cli.timeline import follow_one_order
    from workers.dev.running import running
    from workers.dev.screen import links

    began = time.monotonic()
    starting = console.status("Starting PostgreSQL, Temporal, simulators, worker, API")
    starting.start()
    with ExitStack() as ending:
        ending.callback(starting.stop)
        stack = ending.enter_context(running(folder, keep=keep, ports=ports))
        starting.stop()
        took = time.monotonic() - began
        console.print(f"[green]✓[/] the stack is up [dim]{took:.1f} s[/]")
        live = follow_one_order(stack, console)
        if keep:
            secret = not console.is_terminal
            console.print(links(stack.dev, folder, secret=secret))
            console.print(f"\nStop it with [bold]kill {stack.supervisor}[/]")
    return live
