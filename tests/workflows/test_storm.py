"""Stormy weather at every provider: nothing is lost, doubled, or asked too early."""

import asyncio
import random
import time
from dataclasses import dataclass
from typing import Any

import pytest

from models.states import JobStatus
from tests.judge import balanced, golden
from tests.workflows.shop import buy, domains
from tests.world import World

ORDERS = 50
STORM = {"fail", "execute_then_timeout", "throttle"}
AFTER = 1.0  # what Retry-After says, in seconds


@pytest.mark.timeout(600)
async def test_fifty_orders_come_through_a_storm_with_the_ledger_of_a_calm_day(
    patient: World,
) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    lag = Lag()
    watching = asyncio.create_task(lag.watch())
    for number, name in enumerate(("stripe", "hosting", "powerdns")):
        await patient.fault(name, *storm(seed + number))

    orders = await asyncio.gather(*(buy(patient) for _ in range(ORDERS)))
    for order in orders:
        job = await patient.ended(await patient.job_of(order), within=300)
        assert job.status == JobStatus.SUCCEEDED

    for name in ("stripe", "hosting", "powerdns"):
        calls = await patient.calls(name)
        assert {call["fault"] for call in calls} >= STORM
        await patient.fault(name)
    watching.cancel()
    slack = 0.05 + lag.seconds  # simulators and worker share this process
    for name in ("stripe", "powerdns"):
        assert too_early(await patient.calls(name), slack) == []
    assert len(await domains(patient)) == ORDERS
    await golden(patient, orders=ORDERS)
    await balanced(patient)


def storm(seed: int) -> list[dict[str, Any]]:
    """3 of 10 calls fail, 1 of 10 is done without an answer, 1 of 10 is throttled."""
    return [
        {"kind": "fail", "probability": 0.3, "seed": seed},
        {
            "kind": "execute_then_timeout",
            "probability": 0.1,
            "seed": seed + 100,
            "seconds": 0.1,
        },
        {
            "kind": "throttle",
            "probability": 0.1,
            "seed": seed + 200,
            "retry_after": AFTER,
        },
    ]


def too_early(calls: list[dict[str, Any]], slack: float) -> list[tuple[float, str]]:
    """(seconds after the 429, operation) of calls that should have waited."""
    early = []
    closed: dict[str, float] = {}
    for call in calls:
        since = call["at"] - closed.get(call["account"], 0.0)
        if slack < since < AFTER:
            early.append((since, call["op"]))
        if call["status"] == "429":
            closed[call["account"]] = call["at"]
    return early


@dataclass
class Lag:
    """How late this process was at the worst."""

    seconds: float = 0.0

    async def watch(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.01)
            self.seconds = max(self.seconds, time.monotonic() - began - 0.01)
