"""What was refused, in the audit log, however often somebody tries.

The first of a kind in a minute is told at once; how many more there were, when the
minute is over. Of too many kinds in one minute the later ones are counted together.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from models.audit import Action
from models.database import Database
from models.errors import Denied, Unauthenticated
from models.queries import audit
from models.queries.audit import By
from models.tenants import MIGRAHOSTING

_log = structlog.get_logger(__name__)
_MOST: Final = 60
_MANY: Final = By("anonymous", None, "many addresses")


@dataclass(frozen=True)
class Refused:
    """Two that are equal are counted together."""

    tenant_id: UUID
    by: By
    action: Action
    entity: str
    entity_id: str
    cause: str


class Refusals:
    """Counts in this process; at most `2 * most` lines a minute, and a few."""

    def __init__(self, db: Database, *, per: float = 60.0, most: int = _MOST) -> None:
        self._db, self._per, self._most = db, per, most
        self._counts: dict[Refused, int] = {}
        self._end: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def of(self, hook: str, address: str) -> AsyncIterator[None]:
        """Around the check of one webhook; what it refuses is told and goes on."""
        try:
            yield
        except (Unauthenticated, Denied) as refused:
            by, cause = By("anonymous", None, address), refused.message
            await self.count(
                Refused(
                    MIGRAHOSTING, by, Action.WEBHOOK_REFUSED, "webhook", hook, cause
                )
            )
            raise

    async def count(self, one: Refused) -> None:
        """Tells it, if it is the first of its kind."""
        if one not in self._counts and len(self._counts) >= self._most:
            one = replace(one, by=_MANY)
        self._counts[one] = self._counts.get(one, 0) + 1
        if self._end is None:
            self._end = asyncio.create_task(self._end_of_the_minute())
        if self._counts[one] == 1:
            await self._tell(one, 1)

    async def close(self) -> None:
        """Tells what is still to be told."""
        if self._end is not None:
            self._end.cancel()
        await self._tell_the_rest()

    async def _end_of_the_minute(self) -> None:
        await asyncio.sleep(self._per)
        self._end = None
        await self._tell_the_rest()

    async def _tell_the_rest(self) -> None:
        counts, self._counts = self._counts, {}
        for one, count in counts.items():
            if count > 1:
                await self._tell(one, count - 1)

    async def _tell(self, one: Refused, count: int) -> None:
        """A database that is away changes nothing of the refusal."""
        try:
            async with self._db.platform() as session:
                await audit.record(
                    session,
                    tenant_id=one.tenant_id,
                    by=one.by,
                    action=one.action,
                    entity=one.entity,
                    entity_id=one.entity_id,
                    reason=one.cause,
                    details={"count": count},
                )
                await session.commit()
        except SQLAlchemyError as error:
            _log.warning("refusal_not_told", error=type(error).__name__)
