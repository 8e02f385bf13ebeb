"""What is seen while it happens: orders, and the log of what was done to them."""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from workers.chaos.rows import JobState, OrderState

_KINDS: Final = ("fulfil_order", "website_provision", "backups_enable")
_TITLES: Final = ("order", "website", "backups")
_SIGNS: Final = {"kill": "[red]✗[/]", "fault": "[yellow]![/]", "calm": "[green]✓[/]"}
_STATES: Final = {
    "waiting": "[dim]waits[/]",
    "pending": "[dim]pending[/]",
    "succeeded": "[green]✓ done[/]",
    "needs_attention": "[red]! needs a person[/]",
    "failed": "[red]failed[/]",
    "undoing": "[red]undoing[/]",
}
_LOG_LINES: Final = 18


class Board:
    """Live on a terminal; elsewhere the log alone, line by line."""

    def __init__(self, console: Console, title: str) -> None:
        self._console, self._title = console, title
        self._began = time.monotonic()
        self._log: deque[str] = deque(maxlen=_LOG_LINES)
        self._orders: Sequence[OrderState] = []
        self._away = False
        self._live = Live(
            console=console,
            refresh_per_second=8,
            transient=True,
            get_renderable=self._picture,
        )

    def __enter__(self) -> "Board":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    @property
    def seconds(self) -> float:
        """Since the begin."""
        return time.monotonic() - self._began

    def note(self, kind: str, text: str) -> None:
        """One thing that happened."""
        line = f"[dim]{self.seconds:6.1f}[/] {_SIGNS[kind]} {escape(text)}"
        self._log.append(line)
        if not self._console.is_terminal:
            self._console.print(line, highlight=False, soft_wrap=True)

    def show(self, orders: Sequence[OrderState] | None) -> None:
        """The orders as of now; None while nobody can tell."""
        self._away = orders is None
        if orders is not None:
            self._orders = orders

    def _picture(self) -> RenderableType:
        orders = self._orders
        done = sum(one.status == "completed" for one in orders)
        head = Text.from_markup(
            f"[bold]{self._title}[/]  {self.seconds:5.1f} s  {done}/{len(orders)} done"
            f"  [yellow]{'the database is away' if self._away else ''}[/]"
        )
        table = Table(*_TITLES, box=None, padding=(0, 1))
        for order in orders:
            by_kind = {job.kind: job for job in order.jobs}
            cells = [_cell(by_kind.get(kind)) for kind in _KINDS]
            table.add_row(f"{order.email.partition('@')[0]} {cells[0]}", *cells[1:])
        log = Text.from_markup("\n".join(self._log))
        both = Table.grid(padding=(0, 3))
        both.add_row(table, log)
        return Group(head, both)


def _cell(job: JobState | None) -> str:
    if job is None:
        return ""
    if job.status in _STATES or job.step is None:
        return _STATES.get(job.status, job.status)
    word = job.step.replace("_", " ")
    tries = f" [yellow]try {job.tries}[/]" if job.tries > 1 else ""
    return f"[cyan]{word}[/]{tries}"


def comparison(
    calm: dict[str, str],
    stormy: dict[str, str],
    *,
    killed: Mapping[str, int],
    failed: Mapping[str, int],
) -> RenderableType:
    """Both days side by side; each line with its verdict."""
    table = Table("", "a calm day", "the worst day", "", box=None, padding=(0, 2))
    for name, value in calm.items():
        same = stormy.get(name) == value
        sign = "[green]✓[/]" if same else "[red]✗[/]"
        table.add_row(name, value, stormy.get(name, ""), sign)
    kills = ", ".join(f"{part} {number}" for part, number in sorted(killed.items()))
    told = ", ".join(f"{kind} {number}" for kind, number in sorted(failed.items()))
    what = Text(f"  killed: {kills or 'nobody'}\n  faults: {told or 'none'}", "dim")
    return Group(table, what)
