"""kill -9 at every call that changes a CloudPod's guest, before it, after it, and while
its task is under way: in the end cluster and rows hold what a calm day leaves."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from tests.dev.program import PATIENT, until
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
    """Where no CloudPod was yet."""
    made = Yard(shop, stand)
    yield made
    made.close()


@pytest.fixture(scope="package")
def used(yard: Yard) -> Yard:
    """One CloudPod of each kind was there: zones and firewall group are made."""
    yard.more_addresses()
    for pod in [yard.buy(item) for item in (MINI, NANO)]:
        yard.remove(pod)
    return yard


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
    until(yard.fired, within=PATIENT)
    yard.stand.restarted(cell.victim, since=pid)
    took = time.monotonic() - began
    yard.weather(*act.weather)
    found = tally(since, act.roles)
    assert found == expected, f"{cell}: {found - expected} beyond {expected - found}"
    until(lambda: yard.differences() == [], within=PATIENT)
    act.tidy()
    return took


def in_order(yard: Yard) -> None:
    """Cluster, rows, books and providers say the same."""
    until(lambda: yard.differences() == [], within=PATIENT)
    for what in ("--money", "--orphans"):
        books = yard.stand.doctor(what)
        assert books.returncode == 0, books.stdout + books.stderr


# What is under way when the worker dies, and what it leaves once it is done.
AMID: Mapping[str, tuple[str, Sequence[str]]] = {
    "new": ("task qmclone", ("created", "started")),
    "grown": ("task resize", ("stopped", "started")),
    "kept": ("task qmsnapshot", ("snapshot.made",)),
    "moved": ("task qmigrate", ("moved",)),
    "ended": ("task vzdump", ("backup.made", "stopped", "removed")),
}


@pytest.mark.timeout(600)
def test_a_worker_may_die_amid_a_clone_a_resize_a_snapshot_a_drain_and_a_removal(
    yard: Yard, stand: Stand
) -> None:
    orders = [yard.ordered(MINI) for _ in range(4)]
    pods = [yard.delivered(order) for order in orders]
    nodes = Counter(pod["node"] for pod in pods)
    # Whoever is alone on its node, so that emptying it moves no other one.
    pods.sort(key=lambda pod: nodes[pod["node"]])
    roles = dict(zip(("moved", "grown", "kept", "ended"), pods, strict=True))
    node = roles["moved"]["node"]
    assert nodes[node] == 1
    since, pid = Ledgers(yard.shop, LEDGERS), stand.pid("worker")
    slow = {"kind": "slow", "seconds": SLOW, "times": 1}
    yard.weather(*({"op": task, **slow} for task, _ in AMID.values()))

    jobs = [yard.drained(node)]
    new = yard.ordered(MINI)
    of = {role: f"/api/cloudpods/{pod['id']}" for role, pod in roles.items()}
    disk = roles["grown"]["disk"] + 1
    size = {"memoryMb": 4096, "diskGb": disk}
    jobs += [
        yard.asked("POST", f"{of['grown']}/resize", **size),
        yard.asked("POST", f"{of['kept']}/snapshots", name="before"),
        yard.asked("DELETE", of["ended"]),
    ]
    wanted = {task for task, _ in AMID.values()}
    until(lambda: wanted <= set(since.calls("proxmox")), within=PATIENT)
    stand.kill("worker")
    stand.restarted("worker", since=pid)

    roles["new"] = yard.delivered(new, within=90)
    for job in jobs:
        yard.succeeded(job)
    known = {str(pod["vmid"]): role for role, pod in roles.items()}
    found = {
        key: n for key, n in tally(since, known).items() if "changed" not in key[1]
    }
    assert {key: n for key, n in found.items() if key[0] != "powerdns"} == {
        (role, effect if "." in effect else f"guest.{effect}"): 1
        for role, (_, effects) in AMID.items()
        for effect in effects
    }
    assert yard.row(roles["grown"]["id"])["memory"] == 4096
    yard.weather()
    yard.undrain(node)
    for job in [
        yard.asked("DELETE", f"/api/cloudpods/{pod['id']}") for pod in yard.standing()
    ]:
        yard.succeeded(job)
    in_order(yard)


@pytest.mark.faults
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("victim", MOMENTS)
@pytest.mark.parametrize("name", ACTS)
def test_the_whole_matrix(name: str, victim: str, used: Yard, tell: Tell) -> None:
    act = ACTS[name](used)
    expected, calls = calm(act, used)
    matrix = cells(victim, calls, act)
    for number, cell in enumerate(matrix, 1):
        took = suffer(cell, act, expected, used)
        tell(f"{number:3}/{len(matrix)}  {took:5.1f} s  {name}: {cell}")
    act.end()
    in_order(used)
