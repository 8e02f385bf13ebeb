"""Webhooks that were refused, in the audit log, however many somebody sends.

The first refusal of an address, hook and cause in a minute is told at once; how many
more there were, when the minute is over. Of too many addresses in one minute the later
ones are counted together.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from models.database import Database
from models.errors import Denied, Unauthenticated
from models.queries import audit
from models.queries.audit import By
from models.tenants import MIGRAHOSTING

_log = structlog.get_logger(__name__)
_MOST: Final = 60
_ELSEWHERE: Final = "many addresses"


@dataclass(frozen=True)
class _Kind:
    hook: str
    address: str
    cause: str


class Refusals:
    """Counts in this process; at most `2 * most` lines a minute, and a few."""

    def __init__(self, db: Database, *, per: float = 60.0, most: int = _MOST) -> None:
        self._db, self._per, self._most = db, per, most
        self._counts: dict[_Kind, int] = {}
        self._end: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def of(self, hook: str, address: str) -> AsyncIterator[None]:
        """Around the check of one call; what it refuses is told, and raised again."""
        try:
            yield
        except (Unauthenticated, Denied) as refused:
            await self._count(_Kind(hook, address, refused.message))
            raise

    async def close(self) -> None:
        """Tells what is still to be told."""
        if self._end is not None:
            self._end.cancel()
        await self._tell_the_rest()

    async def _count(self, kind: _Kind) -> None:
        if kind not in self._counts and len(self._counts) >= self._most:
            kind = _Kind(kind.hook, _ELSEWHERE, kind.cause)
        self._counts[kind] = self._counts.get(kind, 0) + 1
        if self._end is None:
            self._end = asyncio.create_task(self._end_of_the_minute())
        if self._counts[kind] == 1:
            await self._tell(kind, 1)

    async def _end_of_the_minute(self) -> None:
        await asyncio.sleep(self._per)
        self._end = None
        await self._tell_the_rest()

    async def _tell_the_rest(self) -> None:
        counts, self._counts = self._counts, {}
        for kind, count in counts.items():
            if count > 1:
                await self._tell(kind, count - 1)

    async def _tell(self, kind: _Kind, count: int) -> None:
        """A database that is away changes nothing of the refusal."""
        try:
            async with self._db.platform() as session:
                await audit.record(
                    session,
                    tenant_id=MIGRAHOSTING,
                    by=By("anonymous", None, kind.address),
                    action="webhook.refused",
                    entity="webhook",
                    entity_id=kind.hook,
                    reason=kind.cause,
                    details={"count": count},
                )
                await session.commit()
        except SQLAlchemyError as error:
            _log.warning("refusal_not_told", hook=kind.hook, error=type(error).__name__)
