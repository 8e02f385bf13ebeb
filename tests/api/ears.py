"""What is notified, to whoever works."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import psycopg

OVER = "that is all"


@asynccontextmanager
async def listening(url: str) -> AsyncIterator[Callable[[], Awaitable[list[str]]]]:
    """As a worker listens. `await heard()`: what was told it by now, in its order."""
    async with (
        await psycopg.AsyncConnection.connect(url, autocommit=True) as ear,
        await psycopg.AsyncConnection.connect(url, autocommit=True) as mouth,
    ):
        await ear.execute("listen mpanel")

        async def heard() -> list[str]:
            # It comes after all that was committed before.
            await mouth.execute(f"notify mpanel, '{OVER}'")
            told: list[str] = []
            async for one in ear.notifies(timeout=60):
                if one.payload == OVER:
                    return told
                told.append(one.payload)
            raise AssertionError(f"heard no end after {told}")

        yield heard
