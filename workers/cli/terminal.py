"""What tables are printed on."""

import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import Console

_PIPE: Final = 160


def printer() -> "Console":
    """As wide as the terminal; in a pipe, whose reader cuts by himself, wide enough."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else _PIPE, highlight=False)
