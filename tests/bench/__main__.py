"""`make bench`: every figure is a ratio of two things measured in turns, in one run.

Exit code 1 if an aim is not met. `--only orders|pods|web` runs a part.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from statistics import median

from temporalio.client import Client

from models.websites import Website
from tests.bench.cost import percentile, ratio
from tests.bench.loader import ITEMS
from tests.bench.memory import PRICE
from tests.bench.names import BARE
from tests.bench.orders import Burst, Engine, Yardstick, seeded
from tests.bench.pods import beside, pods
from tests.bench.simulated import simulated
from tests.bench.stand import Stand, stand
from tests.bench.table import Line, printed, say
from tests.bench.web import against_bare, door, growth
from workflows.engine.plugin import engine_plugin

ROUNDS = 5
ORDERS = 20
SINGLES = 9
SITE, DNS, MAIL = 6.0, 1.0, 1.0


async def orders(here: Stand) -> list[Line]:
    """Whole orders: against bare workflows, then with slow providers."""
    url = here.database("bench_orders")
    db = await seeded(url)
    worker = await here.worker(
        "worker", "tests.bench.worker", url, BENCH_DELAYS="0,0,0"
    )
    web = await here.web("api", "api", url)
    plugin = engine_plugin()
    client = await Client.connect(here.temporal, plugins=[plugin])
    ours = Engine(here, db, client, web.port, ("api", "worker", "temporal", "postgres"))
    await ours.burst(5)
    shape = await ours.shape()
    bare = await here.worker("bare", "tests.bench.bare", url)
    yard = await Client.connect(here.temporal, namespace=BARE, plugins=[plugin])
    yardstick = Yardstick(here, yard, shape.queues, ("bare", "temporal"))
    await yardstick.burst(5)
    say(f"{ROUNDS} x {ORDERS} orders and as many bare workflows, in turns")
    rounds = [
        (await ours.burst(ORDERS), await yardstick.burst(ORDERS)) for _ in range(ROUNDS)
    ]
    alone = [(await ours.burst(1), await yardstick.burst(1)) for _ in range(SINGLES)]
    lines = _against_bare(rounds, alone)
    lines += [
        Line("Temporal actions of an order", shape.actions, 35, unit=""),
        Line("  of them heartbeats", shape.heartbeats, unit=""),
        Line("  activities of an order", len(shape.queues), unit=""),
        Line("  events of an order", shape.events, unit=""),
    ]
    await here.stop(worker)
    say(f"{ORDERS} orders at once, providers that take {SITE:g} s")
    slow_worker = await here.worker(
        "slow_worker", "tests.bench.worker", url, BENCH_DELAYS=f"{SITE},{DNS},{MAIL}"
    )
    ours.parts = ("api", "slow_worker", "temporal", "postgres")
    slow = [took for _ in range(2) for took in (await ours.burst(ORDERS)).latencies]
    own = [took - SITE for took in slow]
    least = await yardstick.burst(ORDERS, site=SITE)
    lines += [
        Line("live time above the providers', p95", percentile(own, 0.95), 1, "s"),
        Line("  p50", median(own), unit="s"),
        Line(
            "  p95 of bare workflows that wait as long",
            percentile(least.latencies, 0.95) - SITE,
            unit="s",
        ),
    ]
    # Else it takes up what the next part begins, and finds no row for it.
    await here.stop(bare, slow_worker, web)
    await db.close()
    say(f"{ORDERS} orders at once, with simulators")
    few = await simulated(ORDERS, ITEMS, price=PRICE, makes=Website)
    pace = median(bare.seconds for _, bare in rounds) / ORDERS
    return [*lines, *beside("orders", ORDERS, few, pace)]


def _against_bare(
    rounds: list[tuple[Burst, Burst]], alone: list[tuple[Burst, Burst]]
) -> list[Line]:
    own, bare = (list(side) for side in zip(*rounds, strict=True))
    pace = ratio([one.seconds for one in bare], [one.seconds for one in own])
    cpu = ratio([one.cpu for one in bare], [one.cpu for one in own])
    own_live, bare_live = (
        [one.latencies[0] for one in side] for side in zip(*alone, strict=True)
    )
    seconds = median(one.seconds for one in own)
    spent = median(one.cpu for one in own)
    return [
        Line("orders/s, of bare workflows/s", pace, 0.8, least=True),
        Line("  by CPU seconds of all processes", cpu),
        Line(
            "order to live, bare by ours", ratio(bare_live, own_live), 0.8, least=True
        ),
        Line("  ours", median(own_live), unit="s"),
        Line("  our orders/s", ORDERS / seconds, unit="/s"),
        Line("  CPU seconds of an order", spent / ORDERS, unit="s"),
    ]


async def web(here: Stand) -> list[Line]:
    """Requests: against bare routes, then as the rows grow."""
    few = await door(here, "few", jobs=1_000)
    say("requests against bare routes, in turns")
    bare = await against_bare(here, few)
    lines = [
        Line("order webhook, CPU by a bare route's", bare["order webhook"], 3),
        Line("job poll, CPU by a bare route's", bare["job poll"], 2.5),
    ]
    say("a million jobs are made")
    many = await door(here, "many", jobs=1_000_000)
    say("the same calls among 1,000 and 1,000,000 jobs, in turns")
    found = await growth(few, many)
    lines += [
        Line(f"{name}, 1,000,000 by 1,000", by, 1.2) for name, by in found.items()
    ]
    return lines


PARTS = {"orders": orders, "pods": pods, "web": web}


async def main(parts: list[str]) -> int:
    lines: list[Line] = []
    with tempfile.TemporaryDirectory(prefix="mpanel-bench-") as folder:
        async with stand(Path(folder)) as here:
            for name in parts:
                lines += await PARTS[name](here)
    sys.stdout.write(f"\n{printed(lines)}\n")
    return 0 if all(line.met for line in lines) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--only", choices=PARTS, action="append")
    sys.exit(asyncio.run(main(parser.parse_args().only or list(PARTS))))
