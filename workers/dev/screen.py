"""What the person at the terminal sees."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table


class TerminalScreen:
    """Short lines: one per part, then the links."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._stopping = False

    def ready(self, name: str, seconds: float) -> None:
        """A part can be used."""
        self._line("[green]✓[/]", f"{name:<12}[dim]{seconds:5.1f} s[/]")

    def died(self, name: str, how: str) -> None:
        """It is being started again."""
        self._line("[yellow]↻[/]", f"{name:<12}{how}, starting it again")

    def keeps_dying(self, name: str, log: str) -> None:
        """Shows what it said last."""
        self._line("[red]✗[/]", f"{name:<12}keeps dying; it said last:")
        self._console.print(f"[dim]{escape(log)}[/]", highlight=False)

    def up(self, dev: Mapping[str, Any], data_dir: Path) -> None:
        """The links."""
        took = time.monotonic() - self._began
        self._console.print(f"\n[bold green]mPanel is up[/] after {took:.1f} s\n")
        self._console.print(links(dev, data_dir, secret=not self._console.is_terminal))
        self._console.print("\n[dim]Ctrl-C stops everything.[/]")

    def stopping(self) -> None:
        """Once; a second signal does not wait."""
        self._console.print("[dim]stopping (once more: at once)[/]")

    def _line(self, sign: str, text: str) -> None:
        self._console.print(f"  {sign} {text}", highlight=False)


def links(dev: Mapping[str, Any], data_dir: Path, *, secret: bool) -> Table:
    """Where to look, from the content of dev.json. A `secret` is only pointed to."""
    admin, simulators = dev["admin"], dev["simulators"]
    password = "(password in dev.json)" if secret else admin["password"]
    table = Table.grid(padding=(0, 2))
    for label, value in (
        ("API", f"{dev['api']}/docs"),
        ("Console", f"{dev['api']}/console"),
        ("Temporal", dev["temporal_ui"]),
        ("Mail", simulators["mail"]),
        ("Log in as", f"{admin['email']}  {password}"),
        ("Metrics", "  ".join(dev["metrics"].values())),
        ("Data", str(data_dir)),
        ("Logs", str(data_dir / "logs")),
    ):
        table.add_row(f"  [dim]{label}[/]", escape(value))
    return table
