"""`mpanel demo`."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.dev import Port, TemporalPort, UiPort

if TYPE_CHECKING:
    from rich.console import Console

    from workers.demo.shop import Shop

    Play = Callable[["Shop", "Console"], bool]

app = typer.Typer(
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
Keep = Annotated[bool, typer.Option("--keep", help="Leave the stack running.")]


@app.callback(invoke_without_command=True)
def demo(
    context: typer.Context,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            help="Use the stack of this data folder; it is started if it is not up."
            " Default: a new one in a temporary folder.",
            show_default=False,
            file_okay=False,
        ),
    ] = None,
    keep: Keep = False,
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
        mpanel demo cloudpod               a virtual machine: born, resized, terminated
    """
    given = [data_dir, keep, chaos, seed, port, temporal_port, ui_port]
    if context.invoked_subcommand is not None:
        if any(given):
            what = context.invoked_subcommand
            raise typer.BadParameter(f"options of `demo {what}` stand after its name")
        return
    if chaos:
        if keep or data_dir is not None:
            raise typer.BadParameter("--chaos makes and removes stacks of its own")
        raise typer.Exit(_worst_day(orders, seed))

    from workers.demo import website

    ports = {"api": port, "temporal": temporal_port, "temporal_ui": ui_port}
    raise typer.Exit(_show(website.play, data_dir, keep=keep, ports=ports))


@app.command("cloudpod")
def cloudpod(
    keep: Keep = False,
    port: Port = None,
    temporal_port: TemporalPort = None,
    ui_port: UiPort = None,
) -> None:
    """Bring a stack up, and watch one CloudPod be born, resized and terminated.

    A paid order becomes a virtual machine on a simulated cluster of three nodes. Each
    step shows what Proxmox and the name server say of it when it is done: VMID, node
    and address; the task that clones it; cloud-init, firewall, its name and the way
    back; its own agent. Then it gets more cores, memory and disk. Its removal is called
    off once, within a hold of seconds (MPANEL_CLOUDPOD_HOLD_SECONDS; a day on a real
    stack), and once it is not: backup, hold, end.

    Ends with 0 only when all that is left is as it should be, by the providers' own
    ledgers and by our rows; any other end names what is not.

    **Examples**

        mpanel demo cloudpod
        mpanel demo cloudpod --keep     look around afterwards
    """
    from workers.demo import cloudpod as story
    from workers.dev.running import inheriting

    ports = {"api": port, "temporal": temporal_port, "temporal_ui": ui_port}
    with inheriting({"MPANEL_CLOUDPOD_HOLD_SECONDS": str(story.HOLD)}):
        raise typer.Exit(_show(story.play, None, keep=keep, ports=ports))


def _worst_day(orders: int, seed: int | None) -> int:
    """0 only if it ended as the undisturbed one."""
    import secrets

    from rich.console import Console

    from workers.chaos.play import Plan, play

    chosen = secrets.randbelow(10**6) if seed is None else seed
    return 0 if play(Console(), Plan(chosen, orders)) else 1


def _show(
    play: "Play",
    data_dir: Path | None,
    *,
    keep: bool,
    ports: Mapping[str, int | None],
) -> int:
    """0 only if it went as promised. A temporary stack is removed, unless kept."""
    import tempfile

    from rich.console import Console

    from workers.dev.errors import StackError
    from workers.dev.running import remove

    console = Console()
    folder = (data_dir or Path(tempfile.mkdtemp(prefix="mpanel-demo-"))).absolute()
    try:
        return 0 if _tell(play, console, folder, keep=keep, ports=ports) else 1
    except StackError:
        keep = False
        raise
    finally:
        if data_dir is None and not keep:
            remove(folder)


def _tell(
    play: "Play",
    console: "Console",
    folder: Path,
    *,
    keep: bool,
    ports: Mapping[str, int | None],
) -> bool:
    import time
    from contextlib import ExitStack

    from workers.demo.shop import shown
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
        well = shown(play, stack, console)
        if keep:
            secret = not console.is_terminal
            console.print(links(stack.dev, folder, secret=secret))
            console.print(f"\nStop it with [bold]kill {stack.supervisor}[/]")
    return well
