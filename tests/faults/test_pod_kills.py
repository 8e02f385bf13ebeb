"""kill -9 at every call that changes a CloudPod's guest, before it, after it, and while
its task is under way: in the end cluster and rows hold what a calm day leaves."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from tests.dev.program import until
from tests.faults.conftest import Tell
from tests.faults.ledgers import Ledgers, Tally
from tests.faults.pod_acts import ACTS, Act
from tests.faults.pods import CHANGES, LEDGERS, MINI, NANO, Yard, tally
from tests.faults.shop import Shop
from tests.faults.stand import Stand

WITHIN = 90.0
# Longer than it takes to notice that a worker is dead, and to begin again.
SLOW = 8.0
# Until the worker has written down which task it waits for.
NOTED = 0.5

BEFORE, AFTER = "before", "after"
UNDER_WAY = "as it begins a slow task, whose name is not told"
WAITING = "while a slow task is waited for"
ENDED = "at the end of the task"
MOMENTS: Mapping[str, Sequence[str]] = {
    "worker": (BEFORE, AFTER, UNDER_WAY, WAITING, ENDED),
    "simulator-proxmox": (BEFORE, AFTER, ENDED),
    "temporal": (BEFORE, AFTER),
    "postgres": (BEFORE, AFTER),
}


@dataclass(frozen=True)
class Call:
    """The nth call of an operation in the course of one act, and the task that it
    begins: its operation and which one of those it is."""

    op: str
    nth: int
    task: tuple[str, int] | None


@dataclass(frozen=True)
class Cell:
    """One part, killed at one call."""

    victim: str
    moment: str
    call: Call

    def __str__(self) -> str:
        return f"{self.victim} {self.moment}: {self.call.op} #{self.call.nth}"

    @property
    def scripts(self) -> list[dict[str, Any]]:
        """For the simulator; the first one kills."""
        call, (task, nth) = self.call, self.call.task or ("", 0)
        at_call = {"op": call.op, "at": call.nth, "victim": self.victim}
        at_task = {"op": task, "at": nth, "victim": self.victim}
        slow = {"kind": "slow", "op": task, "at": nth, "seconds": SLOW}
        return {
            BEFORE: [{"kind": "kill_before", **at_call}],
            AFTER: [{"kind": "execute_then_kill", **at_call}],
            UNDER_WAY: [{"kind": "execute_then_kill", **at_call}, slow],
            WAITING: [{"kind": "kill_before", "seconds": SLOW, **at_task}],
            ENDED: [{"kind": "execute_then_kill", **at_task}],
        }[self.moment]

    @property
    def delays(self) -> dict[str, float]:
        """Seconds by operation."""
        at_task = self.moment in (WAITING, ENDED) and self.call.task
        return {self.call.task[0]: NOTED} if at_task and self.call.task else {}


def cells(victim: str, calls: Sequence[Call], act: Act) -> list[Cell]:
    """Every moment of every call; what is refused by the act's own weather has no
    effect after which anybody could die."""
    refused = {script["op"] for script in act.weather}
    return [
        Cell(victim, moment, call)
        for call in calls
        for moment in MOMENTS[victim]
        if (moment in (BEFORE, AFTER) or call.task)
        and (moment == BEFORE or call.op not in refused)
    ]


def calls_of(ops: Sequence[str]) -> list[Call]:
    """In their order; what follows a call among those about its kind of guest is its
    task, or else it has none."""
    changes = [op for op in ops if op.split(" ")[0] in CHANGES]
    seen: Counter[str] = Counter()
    found: list[Call] = []
    last: dict[str, int] = {}
    for op in changes:
        seen[op] += 1
        family = "qemu" if "qemu" in op or "task qm" in op or "resize" in op else "lxc"
        if op.startswith("task "):
            index = last.pop(family)
            call = found[index]
            found[index] = Call(call.op, call.nth, (op, seen[op]))
        else:
            last[family] = len(found)
            found.append(Call(op, seen[op], None))
    return found


@pytest.fixture(scope="package")
def yard(shop: Shop, stand: Stand) -> Iterator[Yard]:
    """One CloudPod of each kind was there: zones and firewall group are made."""
    made = Yard(shop, stand)
    made.more_addresses()
    for pod in [made.buy(item) for item in (MINI, NANO)]:
        made.remove(pod)
    yield made
    made.close()


def calm(act: Act, yard: Yard) -> tuple[Tally, list[Call]]:
    """An undisturbed day: its effects and its calls."""
    act.prepare()
    yard.weather(*act.weather)
    since = Ledgers(yard.shop, LEDGERS)
    act.perform()
    found, ops = tally(since, act.roles), since.calls("proxmox")
    assert yard.differences() == []
    act.tidy()
    return found, calls_of(ops)


def suffer(cell: Cell, act: Act, expected: Tally, yard: Yard) -> float:
    """The act, in whose course the part dies; the seconds until all was well."""
    act.prepare()
    since, pid = Ledgers(yard.shop, LEDGERS), yard.stand.pid(cell.victim)
    yard.weather(*cell.scripts, *act.weather, **cell.delays)
    began = time.monotonic()
    act.perform()
    until(yard.fired, within=20)
    until(lambda: yard.stand.pid(cell.victim) != pid, within=20)
    took = time.monotonic() - began
    yard.weather(*act.weather)
    found = tally(since, act.roles)
    assert found == expected, f"{cell}: {found - expected} beyond {expected - found}"
    until(lambda: yard.differences() == [], within=20)
    act.tidy()
    return took


@pytest.mark.faults
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("victim", MOMENTS)
@pytest.mark.parametrize("name", ACTS)
def test_the_whole_matrix(
    name: str, victim: str, yard: Yard, stand: Stand, tell: Tell
) -> None:
    act = ACTS[name](yard)
    expected, calls = calm(act, yard)
    matrix = cells(victim, calls, act)
    for number, cell in enumerate(matrix, 1):
        took = suffer(cell, act, expected, yard)
        tell(f"{number:3}/{len(matrix)}  {took:5.1f} s  {name}: {cell}")
    act.end()
    assert yard.differences() == []
    for what in ("--money", "--orphans"):
        books = stand.doctor(what)
        assert books.returncode == 0, books.stdout + books.stderr
