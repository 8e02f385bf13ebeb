"""How the doctor's findings look on a terminal, and as JSON."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.status import Status

from workers.doctor.examine import lines, well
from workers.doctor.lines import Examined, Line, Outcome, Probe

_SIGNS = {
    Outcome.OK: "[green]✓[/]",
    Outcome.WARNING: "[yellow]![/]",
    Outcome.FAILURE: "[red]✗[/]",
    Outcome.SKIPPED: "[dim]-[/]",
}
_STYLES = {
    Outcome.OK: "dim",
    Outcome.WARNING: "yellow",
    Outcome.FAILURE: "red",
    Outcome.SKIPPED: "dim",
}
_WIDTH = 22


class Checklist:
    """Prints each area as soon as all areas before it are told."""

    def __init__(self, console: Console, probes: Sequence[Probe]) -> None:
        self._console = console
        self._order = [probe.area for probe in probes]
        self._told: dict[str, Examined] = {}
        self._printed = 0
        self._status = console.status(self._waiting())

    def __enter__(self) -> "Checklist":
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def say(self, found: Examined) -> None:
        """One probe has ended."""
        self._told[found.probe.area] = found
        while self._printed < len(self._order):
            following = self._told.get(self._order[self._printed])
            if following is None:
                break
            self._area(following)
            self._printed += 1
        self._status.update(self._waiting())

    def end(self, found: Sequence[Examined]) -> None:
        """The sum of it all."""
        self._status.stop()
        sums = Counter(line.outcome for _, line in lines(found))
        told = "  ".join(
            f"{_SIGNS[outcome]} {sums[outcome]} {outcome}"
            for outcome in Outcome
            if sums[outcome]
        )
        self._console.print(f"\n{told}")

    def _waiting(self) -> str:
        open_ = [area for area in self._order if area not in self._told]
        return f"Looking at {', '.join(open_)}"

    def _area(self, found: Examined) -> None:
        self._console.print(f"\n[bold]{found.probe.area}[/]")
        for line in found.lines:
            self._line(line)

    def _line(self, line: Line) -> None:
        style = _STYLES[line.outcome]
        self._console.print(
            f"  {_SIGNS[line.outcome]} {escape(line.name):<{_WIDTH}}"
            f" [{style}]{escape(line.said)}[/]",
            highlight=False,
            soft_wrap=True,
        )
        if line.advice and line.outcome is not Outcome.OK:
            text = Padding(f"→ {escape(line.advice)}", (0, 0, 0, _WIDTH + 5))
            self._console.print(text, highlight=False)


def as_json(found: Sequence[Examined]) -> str:
    """`{"ok": ..., "lines": [{"area", "name", "outcome", "said", "advice"}]}`."""
    told = [{"area": area, **asdict(line)} for area, line in lines(found)]
    return json.dumps({"ok": well(found), "lines": told}, indent=2)


def quiet() -> Status:
    """A spinner for a single look."""
    return Console(stderr=True).status("Looking")
