"""Asks providers again about effects that are unsure.

A call that timed out may land long after its undo. So a `removed` row, and an
`intended` one, is looked up at its provider after a minute, ten minutes and an hour.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog
from sqlmodel import col, select

from activities.effects import CHECKS
from activities.errors import redacted
from models.base import utc_now
from models.database import Database
from models.effects import Effect
from models.jobs import Job
from models.queries.outbox import OPERATOR, tell
from models.states import OPEN_JOBS, EffectState, JobStatus

_log = structlog.get_logger(__name__)
# How long it may take to look at one effect, and to remove it.
_LOOK_AT_MOST: Final = timedelta(minutes=10)


async def _by_nobody(_: Effect) -> bool:
    return False


@dataclass(frozen=True)
class Check:
    """How one kind of effect is looked up and taken away at its provider.

    `in_use`: by another job's doing, so that it stays whatever its own job says.
    """

    exists: Callable[[Effect], Awaitable[bool]]
    remove: Callable[[Effect], Awaitable[None]]
    in_use: Callable[[Effect], Awaitable[bool]] = _by_nobody


class Rechecks:
    """`checks` by (provider, kind)."""

    def __init__(self, db: Database, checks: Mapping[tuple[str, str], Check]) -> None:
        self._db, self._checks = db, checks

    async def round(self) -> None:
        """Every effect that is due, one at a time."""
        async with self._db.looking() as session:
            found = await session.exec(
                select(Effect)
                .where(col(Effect.check_at) <= utc_now())
                .order_by(col(Effect.check_at))
                .limit(50)
            )
            due = found.all()
        for effect in due:
            try:
                if await self._taken(effect):
                    await self._check(effect)
            except Exception as error:  # noqa: BLE001 - it delays no other look
                _log.warning(
                    "recheck_put_off",
                    kind=effect.kind,
                    ref=effect.reference,
                    error=redacted(f"{type(error).__name__}: {error}"),
                )
                await self._put_off(effect)

    async def _taken(self, effect: Effect) -> bool:
        """Of several processes one looks, and tells of what it finds; if it dies,
        another does a while later."""
        async with self._db.platform() as session:
            row = await session.get_one(Effect, effect.id, with_for_update=True)
            if not _same(row, effect):
                return False
            row.check_at = effect.check_at = utc_now() + _LOOK_AT_MOST
            await session.commit()
        return True

    async def _check(self, effect: Effect) -> None:
        async with self._db.platform() as session:
            job = await session.get_one(Job, effect.job_id)
        check = self._checks.get((effect.provider, effect.kind))
        orphan = False
        if check is not None and not (
            job.status in OPEN_JOBS and effect.state == EffectState.INTENDED
        ):
            there = not await check.in_use(effect) and await check.exists(effect)
            wanted = (
                effect.state == EffectState.INTENDED
                and job.status == JobStatus.SUCCEEDED
            )
            orphan = there and not wanted
            if orphan:
                if not await self._still(effect):
                    return  # its job went on while others were looked at
                await check.remove(effect)
                _log.warning("orphan_removed", kind=effect.kind, ref=effect.reference)
        await self._settle(effect, orphan=orphan)

    async def _still(self, effect: Effect) -> bool:
        async with self._db.platform() as session:
            return _same(await session.get_one(Effect, effect.id), effect)

    async def _put_off(self, effect: Effect) -> None:
        async with self._db.platform() as session:
            row = await session.get_one(Effect, effect.id, with_for_update=True)
            if row.check_at == effect.check_at:
                row.check_at = utc_now() + CHECKS[0]
                await session.commit()

    async def _settle(self, effect: Effect, *, orphan: bool) -> None:
        async with self._db.platform() as session:
            row = await session.get_one(Effect, effect.id, with_for_update=True)
            if not _same(row, effect):
                return  # its job went on meanwhile
            row.checks += 1
            later = row.checks < len(CHECKS)
            row.check_at = utc_now() + CHECKS[row.checks] if later else None
            if orphan:
                row.state = EffectState.REMOVED
                await tell(
                    session,
                    tenant_id=row.tenant_id,
                    channel="mail",
                    recipient=OPERATOR,
                    template="effect.orphan",
                    subject_id=row.id,
                    facts={
                        "provider": row.provider,
                        "kind": row.kind,
                        "reference": row.reference,
                    },
                )
            await session.commit()


def _same(row: Effect, seen: Effect) -> bool:
    return (row.state, row.check_at) == (seen.state, seen.check_at)
