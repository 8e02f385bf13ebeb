"""The same orders on the development stack: real protocols, simulators behind them."""

import tempfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

import httpx
from temporalio.client import Client

from models.cloudpods import CloudPod
from models.database import Database
from models.websites import Website
from tests.bench.cost import Cost, processes_below
from tests.bench.loader import order
from tests.bench.orders import Burst, Engine
from workers.dev.running import RunningStack, inheriting, remove, running

Items = Sequence[dict[str, str]]

_ANY_PORTS = {"api": 0, "temporal": 0, "temporal_ui": 0}
_SETTINGS = {
    "MPANEL_DEV_FSYNC": "off",  # as in the stand that it is told beside
    "MPANEL_CALL_LIMIT_WEBHOOK": "1000000000",
}


class _Stack:
    """What its processes have spent."""

    def __init__(self, stack: RunningStack) -> None:
        self._pids: dict[str, int] = stack.dev["processes"]

    def cost(self, *names: str) -> Cost:
        return {name: sum(processes_below(self._pids[name])) for name in names}

    async def heartbeats(self) -> int:
        return 0


async def simulated(
    number: int, items: Items, *, price: int, makes: type[Website] | type[CloudPod]
) -> Burst:
    """So many paid orders at once, after two that warm up, on a stack of their own."""
    folder = Path(tempfile.mkdtemp(prefix="mpanel-bench-stack-"))
    with ExitStack() as ending:
        ending.callback(remove, folder)
        ending.enter_context(inheriting(_SETTINGS))
        # From this thread: a stack ends with the one that began it.
        stack = ending.enter_context(running(folder, keep=False, ports=_ANY_PORTS))
        dev = stack.dev
        db = Database(dev["database_url"], pool_size=2)

        def paid(number: int) -> Iterable[bytes]:
            return [_paid(dev, items, price) for _ in range(number)]

        engine = Engine(
            _Stack(stack),
            db,
            await Client.connect(dev["temporal"]),
            int(dev["api"].rpartition(":")[2]),
            tuple(dev["processes"]),
            orders=paid,
            makes=makes,
        )
        try:
            await engine.burst(2)
            return await engine.burst(number)
        finally:
            await db.close()


def _paid(dev: dict[str, object], items: Items, price: int) -> bytes:
    simulators: dict[str, str] = dev["simulators"]
    made = httpx.post(
        f"{simulators['stripe']}/_simulator/payments",
        json={"amount": price, "currency": "usd"},
        trust_env=False,
    )
    made.raise_for_status()
    return order(
        secret=str(dev["order_webhook_secret"]),
        stripeCustomerId=made.json()["customer"]["id"],
        items=list(items),
    )
