"""`mpanel demo --chaos`: the worst day ends as the calm one."""

import io
import subprocess
import sys

import pytest
from rich.console import Console

from tests.dev.program import ROOT
from workers.chaos.board import comparison
from workers.chaos.play import Plan
from workers.chaos.weather import PARTS, faults, kills

COMMAND = (sys.executable, "-m", "workers.cli", "demo", "--chaos")


# It loads the machine for minutes, and the stacks beside it promise seconds.
@pytest.mark.faults
@pytest.mark.timeout(600)
def test_four_orders_come_through_it() -> None:
    said = subprocess.run(
        [*COMMAND, "--orders", "4", "--seed", "7"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )
    assert said.returncode == 0, said.stdout + said.stderr
    for part in PARTS:
        assert f"kill -9 {part}" in said.stdout
    assert "4, 219.92 USD" in said.stdout
    assert "nothing lost, nothing doubled, nothing half-done" in said.stdout


def test_a_seed_draws_the_same_day_again() -> None:
    def drawn(seed: int) -> object:
        plan = Plan(seed, 20)
        strikes = kills(plan.draw("kills"), plan.strikes)
        return plan.bought(), strikes, faults(plan.draw("faults"), orders=20)

    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)


def test_every_part_dies_before_any_dies_again() -> None:
    plan = Plan(1, 20)
    strikes = [kill.part for kill in kills(plan.draw("kills"), plan.strikes)]
    assert len(strikes) == 15
    for round_ in (strikes[:5], strikes[5:10], strikes[10:]):
        assert sorted(round_) == sorted(PARTS)


def test_what_differs_is_marked() -> None:
    seen = io.StringIO()
    console = Console(width=100, file=seen)
    console.print(
        comparison(
            {"charges": "4", "sites made": "4"},
            {"charges": "5", "sites made": "4"},
            killed={"api": 2},
            failed={"fail": 3},
        )
    )
    lines = seen.getvalue().splitlines()
    (charges,) = [line for line in lines if "charges" in line]
    (sites,) = [line for line in lines if "sites made" in line]
    assert ("✗" in charges, "✓" in sites) == (True, True)
