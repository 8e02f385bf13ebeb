"""What is printed meanwhile, and at the end: aim, measured, verdict."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """One figure. `aim` None: told beside the others, and judged by nobody.

    `least`: the aim is a floor, not a ceiling.
    """

    what: str
    measured: float
    aim: float | None = None
    unit: str = "x"
    least: bool = False

    @property
    def met(self) -> bool:
        if self.aim is None:
            return True
        return self.measured >= self.aim if self.least else self.measured <= self.aim

    def cells(self) -> tuple[str, str, str, str]:
        """As text."""
        sign = ">=" if self.least else "<="
        aim = "" if self.aim is None else f"{sign} {self.aim:g} {self.unit}"
        verdict = "" if self.aim is None else "met" if self.met else "NOT MET"
        return self.what, aim, f"{self.measured:.2f} {self.unit}", verdict


def printed(lines: Sequence[Line]) -> str:
    """The table, its columns aligned."""
    rows = [("figure", "aim", "measured", "verdict"), *(one.cells() for one in lines)]
    widths = [max(len(row[at]) for row in rows) for at in range(4)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )


def say(what: str) -> None:
    """What is measured now."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {what}\n")
