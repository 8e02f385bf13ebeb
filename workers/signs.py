"""How the state of a step looks at a terminal."""

from collections.abc import Mapping
from typing import Final

SIGNS: Final[Mapping[str, str]] = {
    "succeeded": "[green]✓[/]",
    "running": "[cyan]●[/]",
    "retrying": "[yellow]↻[/]",
    "parked": "[red]![/]",
    "skipped": "[dim]→[/]",
    "cancelled": "[dim]x[/]",
}
