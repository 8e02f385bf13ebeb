"""The same orders twice: on a calm day, then while everything dies."""

import asyncio
import random
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
from rich.console import Console

from workers.chaos.board import Board, comparison
from workers.chaos.rows import OrderState, Rows
from workers.chaos.shop import Purchase, Refused, Shop, purchases
from workers.chaos.sums import sums
from workers.chaos.weather import Weather, faults, kills
from workers.dev.running import RunningStack, inheriting, remove, running

_ANY_PORTS: Final = {"api": 0, "temporal": 0, "temporal_ui": 0}
_WITHIN: Final = 240.0
# An impatient stack: what takes minutes on a real one shall be seen within seconds.
_SETTINGS: Final = {
    "MPANEL_LONGEST_WAIT_SECONDS": "3",
    "MPANEL_RECONCILE_SECONDS": "2",
    "MPANEL_PAYMENTS_SECONDS": "5",
    "MPANEL_UNCLAIMED_AFTER_SECONDS": "900",
}
_OVER: Final = {"completed", "failed", "cancelled", "partially_fulfilled", "expired"}


@dataclass(frozen=True)
class Plan:
    """Drawn from the seed."""

    seed: int
    orders: int

    @property
    def spread(self) -> float:
        """Seconds over which customers come."""
        return min(20.0, 1.0 + self.orders)

    @property
    def strikes(self) -> int:
        """How many kills: every part, and half as many again as there are orders."""
        return 5 + self.orders // 2

    def bought(self) -> list[Purchase]:
        """The same customers at the same moments, each time."""
        return purchases(self.draw("people"), self.orders, within=self.spread)

    def draw(self, what: str) -> random.Random:
        """A stream of its own for each kind of trouble."""
        return random.Random(f"{self.seed} {what}")  # noqa: S311 - no secret


def play(console: Console, plan: Plan) -> bool:
    """Whether the bad day ended as the calm one."""
    again = f"mpanel demo --chaos --orders {plan.orders} --seed {plan.seed}"
    console.print(f"[bold]{plan.orders} orders[/], twice. Repeat it with {again}\n")
    with inheriting(_SETTINGS), ExitStack() as kept:
        folders = [Path(tempfile.mkdtemp(prefix="mpanel-chaos-")) for _ in range(2)]
        for folder in folders:
            kept.callback(remove, folder)
        calm = _day(console, plan, folders[0], stormy=False)
        stormy = _day(console, plan, folders[1], stormy=True)
        equal = calm.sums == stormy.sums and calm.whole and stormy.whole
        if not equal:
            kept.pop_all()  # somebody will want to look
    told = comparison(
        calm.sums, stormy.sums, killed=stormy.killed, failed=stormy.failed
    )
    console.print()
    console.print(told)
    if equal:
        console.print(
            f"\n[green]✓[/] nothing lost, nothing doubled, nothing half-done"
            f" [dim]{calm.seconds:.0f} s calm, {stormy.seconds:.0f} s stormy[/]"
        )
    else:
        console.print(
            f"\n[red]✗[/] it did not end as it should: repeat it with {again}\n"
            f"  The logs are in {folders[0]}/logs and {folders[1]}/logs"
        )
    return equal


@dataclass(frozen=True)
class _Day:
    sums: dict[str, str]
    whole: bool
    seconds: float
    killed: Counter[str]
    failed: Counter[str]


def _day(console: Console, plan: Plan, where: Path, *, stormy: bool) -> _Day:
    title = "the worst day" if stormy else "a calm day"
    with ExitStack() as ending:
        with console.status(f"Starting a stack for {title}"):
            begun = running(where, keep=False, ports=_ANY_PORTS)
            stack = ending.enter_context(begun)
        with Board(console, title) as board:
            day = asyncio.run(_live(stack, plan, board, stormy=stormy))
        sign = "[green]✓[/]" if day.whole else "[red]✗[/]"
        console.print(f"{sign} {title} [dim]{day.seconds:.1f} s[/]")
        return day


async def _live(stack: RunningStack, plan: Plan, board: Board, *, stormy: bool) -> _Day:
    rows, bought = Rows(stack), plan.bought()
    async with httpx.AsyncClient(timeout=10, trust_env=False) as http:
        shop, weather = Shop(stack, http), Weather(stack, http, board.note)
        async with _meanwhile(_watch(rows, board)):
            storm = _storm(shop, weather, plan, board) if stormy else _calm()
            async with storm:
                whole = await _served(shop, bought, board)
                whole = whole and await _all_delivered(rows, plan.orders, board)
            whole = whole and await _settled(rows)
        took = board.seconds
        left = await sums(stack, http, rows, bought)
        return _Day(left, whole, took, weather.killed, weather.failed)


async def _served(shop: Shop, bought: Sequence[Purchase], board: Board) -> bool:
    """False if somebody could not pay or order, however often they tried."""
    ended = await asyncio.gather(
        *(shop.serve(each) for each in bought), return_exceptions=True
    )
    for failed in filter(None, ended):
        if not isinstance(failed, Refused):
            raise failed
        board.note("kill", str(failed))
    return not any(ended)


@asynccontextmanager
async def _storm(
    shop: Shop, weather: Weather, plan: Plan, board: Board
) -> AsyncIterator[None]:
    """Around the day; whatever was drawn has happened at its end."""
    await weather.begin(faults(plan.draw("faults"), orders=plan.orders))
    watching, repeating = weather.watch(), _repeat_events(shop, plan, board)
    async with _meanwhile(repeating):
        strikes = weather.strike(kills(plan.draw("kills"), plan.strikes))
        deafness = weather.deafness(plan.draw("events"))
        drawn = [asyncio.create_task(strikes), asyncio.create_task(deafness)]
        try:
            async with _meanwhile(watching):
                yield
                await asyncio.gather(*drawn)
        finally:
            for task in drawn:
                task.cancel()
    await weather.end()


@asynccontextmanager
async def _calm() -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def _meanwhile(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Until the block ends."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _watch(rows: Rows, board: Board) -> None:
    while True:
        board.show(await rows.board())
        await asyncio.sleep(0.25)


async def _repeat_events(shop: Shop, plan: Plan, board: Board) -> None:
    draw = plan.draw("repeats")
    while True:
        await asyncio.sleep(draw.uniform(2, 5))
        if kind := await shop.repeat_event(draw):
            board.note("fault", f"stripe sends {kind} twice more")


async def _all_delivered(rows: Rows, count: int, board: Board) -> bool:
    """False if somebody must decide, or it takes too long."""
    deadline = time.monotonic() + _WITHIN
    while time.monotonic() < deadline:
        orders = await rows.board()
        if orders is not None and len(orders) >= count:
            if stuck := list(_stuck(orders)):
                for line in stuck:
                    board.note("kill", line)
                return False
            if all(order.status in _OVER for order in orders):
                return all(order.status == "completed" for order in orders)
        await asyncio.sleep(0.25)
    board.note("kill", f"not all orders were delivered within {_WITHIN:.0f} s")
    return False


def _stuck(orders: Sequence[OrderState]) -> Iterator[str]:
    for order in orders:
        for job in order.jobs:
            if job.status == "needs_attention":
                yield f"{order.email}: {job.kind} needs a person: {job.message}"


async def _settled(rows: Rows) -> bool:
    """Every letter has gone out."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if await rows.unsent() == 0:
            return True
        await asyncio.sleep(0.25)
    return False
