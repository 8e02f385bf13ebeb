"""Our rows, read past the API: a board that must tell what is so while all dies."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psycopg

from workers.dev.running import RunningStack

# Seconds for which PostgreSQL may be away.
_BACK_WITHIN = 60.0
_BOARD = (
    "select o.id::text, c.email, o.status as order, j.kind, j.status, s.name as step,"
    " s.status as how, s.tries, j.message"
    " from orders o join customers c on c.id = o.customer_id"
    " join jobs j on j.order_id = o.id"
    " left join lateral (select name, status, tries from job_steps"
    " where job_id = j.id order by tried_at desc, phase limit 1) s on true"
    " order by o.created_at, j.parent_id nulls first, j.created_at"
)


@dataclass(frozen=True)
class JobState:
    """`step` is the one that ran last, `tries` how often it was tried."""

    kind: str
    status: str
    step: str | None
    how: str | None
    tries: int
    message: str | None


@dataclass
class OrderState:
    """An order as it stands."""

    id: str
    email: str
    status: str
    jobs: list[JobState]


class Rows:
    """Opens a connection for each look: the last one may be dead."""

    def __init__(self, stack: RunningStack) -> None:
        self._stack = stack

    async def board(self) -> list[OrderState] | None:
        """Every order with its jobs; None while the database is away."""
        with suppress(psycopg.Error, OSError):
            found: dict[str, OrderState] = {}
            for row in await self._ask(_BOARD):
                order = found.setdefault(row[0], OrderState(row[0], row[1], row[2], []))
                job = JobState(row[3], row[4], row[5], row[6], row[7] or 0, row[8])
                order.jobs.append(job)
            return list(found.values())
        return None

    async def orders(self) -> list[str]:
        """The state of each order."""
        return [row[0] for row in await self._all("select status from orders")]

    async def websites(self) -> list[tuple[str, str]]:
        """(id, domain) of each website that is said to be live."""
        query = "select id::text, domain from websites where status = 'active'"
        return [(row[0], row[1]) for row in await self._all(query)]

    async def backup_plans(self) -> int:
        """How many are active."""
        query = "select count(*) from backup_plans where status = 'active'"
        return int((await self._all(query))[0][0])

    async def parked(self) -> int:
        """Jobs that wait for a decision."""
        query = "select count(*) from jobs where status = 'needs_attention'"
        return int((await self._all(query))[0][0])

    async def unsent(self) -> int:
        """Letters that wait."""
        query = "select count(*) from outbox where status = 'queued'"
        return int((await self._all(query))[0][0])

    async def _all(self, query: Any) -> list[tuple[Any, ...]]:
        """Asked again while PostgreSQL, which dies of the plan too, comes back."""
        deadline = time.monotonic() + _BACK_WITHIN
        while True:
            try:
                return await self._ask(query)
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.2)

    async def _ask(self, query: Any) -> list[tuple[Any, ...]]:
        connection = await psycopg.AsyncConnection.connect(
            self._stack.dev["database_url"], connect_timeout=2
        )
        async with connection:
            await connection.execute(
                "select set_config('mpanel.scope', 'platform', true)"
            )
            return await (await connection.execute(query)).fetchall()
