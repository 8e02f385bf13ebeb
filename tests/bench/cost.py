"""CPU seconds of processes, as the kernel counts them, and medians of ratios."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median

Cost = dict[str, float]
_TICK = os.sysconf("SC_CLK_TCK")


def of_process(pid: int) -> float:
    """User and system time of the process, its ended threads and children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICK


def exactly(pid: int) -> float:
    """Time on a CPU of its living threads, to the nanosecond."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def processes_below(
    root: int, cost: Callable[[int], float] = of_process
) -> Iterator[float]:
    """The cost of the process and of all that descend from it."""
    yield from (cost(pid) for pid in (root, *_descendants(root)) if _lives(pid))


def _descendants(root: int) -> Iterator[int]:
    children: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError):
                stat = Path(f"/proc/{entry.name}/stat").read_text()
                parent = int(stat.rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    waiting = children.get(root, [])
    while waiting:
        pid = waiting.pop()
        yield pid
        waiting += children.get(pid, [])


def _lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def spent(before: Cost, after: Cost) -> float:
    """CPU seconds between two readings."""
    return sum(after.values()) - sum(before.values())


def ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """The median over rounds; each round measured both, one after the other."""
    return median(one / other for one, other in zip(above, below, strict=True))


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of them does not exceed."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]
