"""kill -9 of every part at every provider call of an order, before its effect and after
it: the order is delivered, once, as if nothing had been."""

import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from tests.dev.program import PATIENT, until
from tests.faults.conftest import Tell
from tests.faults.ledgers import (
    GOLDEN,
    PROVIDERS,
    SETTLED,
    Ledgers,
    delivered,
    paid_and_told,
    times,
)
from tests.faults.shop import Shop
from tests.faults.stand import PARTS, Stand

MOMENTS = ("kill_before", "execute_then_kill")
WITHIN = 120.0


@dataclass(frozen=True)
class Call:
    """The nth call of an operation in the course of one order."""

    provider: str
    op: str
    nth: int

    def __str__(self) -> str:
        return f"{self.provider} {self.op} #{self.nth}"


@dataclass(frozen=True)
class Cell:
    """One part, killed at one call."""

    victim: str
    moment: str
    call: Call

    def __str__(self) -> str:
        return f"{self.victim} {self.moment} at {self.call}"


@pytest.fixture(scope="package")
def calls(shop: Shop) -> Sequence[Call]:
    """The golden run, its calls counted."""
    since = Ledgers(shop)
    paid = paid_and_told(shop, since)
    delivered(shop, paid, shop.completed(shop.order(paid)))
    since.come_to(GOLDEN, untold=True)
    counted = ((name, Counter(since.calls(name))) for name in PROVIDERS)
    return [
        Call(name, op, nth)
        for name, ops in counted
        for op, count in ops.items()
        for nth in range(1, count + 1)
    ]


def suffer(cell: Cell, shop: Shop, stand: Stand) -> float:
    """One order, in whose course the part dies; the seconds until all was well."""
    since = Ledgers(shop)
    pid, starts = stand.pid(cell.victim), stand.starts
    call = cell.call
    script = {"kind": cell.moment, "victim": cell.victim, "op": call.op, "at": call.nth}
    shop.fault(call.provider, script)
    began = time.monotonic()
    try:
        paid = paid_and_told(shop, since)
        order = shop.completed(shop.order(paid, within=WITHIN), within=WITHIN)
        until(lambda: shop.fired(call.provider) == 1, within=SETTLED)
    finally:
        shop.fault(call.provider)
    stand.restarted(cell.victim, since=pid)
    since.come_to(GOLDEN, untold=True)
    took = time.monotonic() - began
    delivered(shop, paid, order)
    if cell.victim == "worker":  # its start asks Stripe too, which is no order's call
        until(lambda: stand.starts > starts, within=PATIENT)
        until(lambda: since.quiet("stripe"), within=PATIENT)
    return took


def all_is_well(stand: Stand, whole: Ledgers, *, orders: int) -> None:
    """Every cent has its place; and nothing came twice after it had been judged."""
    books = stand.doctor()
    assert books.returncode == 0, books.stdout + books.stderr
    assert whole.tally() == times(GOLDEN, orders)


@pytest.mark.timeout(600)
def test_a_part_may_die_at_any_call(
    calls: Sequence[Call],
    shop: Shop,
    stand: Stand,
    draw: random.Random,
    tell: Tell,
) -> None:
    whole = Ledgers(shop)
    for part in PARTS:
        cell = Cell(part, draw.choice(MOMENTS), draw.choice(calls))
        tell(f"{suffer(cell, shop, stand):5.1f} s  {cell}")
    all_is_well(stand, whole, orders=len(PARTS))


@pytest.mark.faults
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("victim", PARTS)
def test_the_whole_matrix(
    victim: str,
    moment: str,
    calls: Sequence[Call],
    shop: Shop,
    stand: Stand,
    tell: Tell,
) -> None:
    whole = Ledgers(shop)
    for number, call in enumerate(calls, 1):
        cell = Cell(victim, moment, call)
        took = suffer(cell, shop, stand)
        tell(f"{number:3}/{len(calls)}  {took:5.1f} s  {cell}")
    all_is_well(stand, whole, orders=len(calls))
