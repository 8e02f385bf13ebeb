"""The operators' desk: which of their mails go out at once, which wait, and which
become one.

Their mails begin `held`. At night only critical ones pass. More than a handful at a
time are folded into a digest, which names each: a flood is a few mails, and none of
them is lost. Webhooks are for machines and never wait.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

from sqlalchemy import text
from sqlmodel import col, func, select, update

from models.alerts import Alert
from models.base import utc_now
from models.database import Database, Session
from models.outbox import OutboxMessage
from models.queries.letters import DIGEST
from models.queries.outbox import OPERATOR
from models.states import AlertStatus, OutboxStatus
from models.tenants import MIGRAHOSTING
from workers.quiet import QuietHours

_MOST = 500
# One process at a time decides what is told next.
_LOCK = text("select pg_try_advisory_xact_lock(7267352)")


@dataclass(frozen=True)
class Manners:
    """More than `burst` mails within `window` become digests, one per `digest_every`
    (seconds), or sooner if something critical is among them."""

    burst: int = 5
    window: float = 600.0
    digest_every: float = 60.0
    critical_every: float = 10.0
    quiet: QuietHours | None = None


class Desk:
    """Any number of processes may have one."""

    def __init__(self, db: Database, manners: Manners) -> None:
        self._db, self._manners = db, manners

    async def round(self) -> None:
        """Decides about every mail that is held."""
        async with self._db.platform() as session:
            connection = await session.connection()
            if not (await connection.execute(_LOCK)).scalar_one():
                return
            held = await _held(session)
            if held:
                await self._decide(session, held, utc_now())
            await session.commit()

    async def _decide(
        self, session: Session, held: Sequence[OutboxMessage], now: datetime
    ) -> None:
        quiet = self._manners.quiet
        night = quiet is not None and quiet.cover(now)
        passing = [one for one in held if one.critical or not night]
        waited = [one for one in passing if quiet and quiet.cover(one.created_at)]
        after_night = not night and len(waited) > 1
        if not passing:
            return
        recent = await _released_since(
            session, now - timedelta(seconds=self._manners.window)
        )
        if not after_night and recent + len(passing) <= self._manners.burst:
            await _release(session, passing, now)
        elif after_night or await self._digest_is_due(session, passing, now):
            await _fold(session, passing, now)

    async def _digest_is_due(
        self, session: Session, passing: Sequence[OutboxMessage], now: datetime
    ) -> bool:
        critical = any(one.critical for one in passing)
        every = self._manners.critical_every if critical else self._manners.digest_every
        last = await session.exec(
            select(func.max(OutboxMessage.released_at)).where(
                OutboxMessage.template == DIGEST,
                # Those of before are in nobody's way.
                col(OutboxMessage.released_at) > now - timedelta(seconds=every),
            )
        )
        return last.one() is None


async def _held(session: Session) -> Sequence[OutboxMessage]:
    """Oldest first. What was acknowledged meanwhile is not told any more."""
    known = select(Alert.id).where(Alert.status == AlertStatus.ACKNOWLEDGED)
    await session.exec(
        update(OutboxMessage)
        .where(
            col(OutboxMessage.status) == OutboxStatus.HELD,
            col(OutboxMessage.alert_id).in_(known),
        )
        .values(status=OutboxStatus.SILENCED)
    )
    rows = await session.exec(
        select(OutboxMessage)
        .where(OutboxMessage.status == OutboxStatus.HELD)
        .order_by(col(OutboxMessage.critical).desc(), col(OutboxMessage.created_at))
        .limit(_MOST)
        .with_for_update()
    )
    return rows.all()


async def _released_since(session: Session, since: datetime) -> int:
    counted = await session.exec(
        select(func.count())
        .select_from(OutboxMessage)
        .where(col(OutboxMessage.released_at) > since)
    )
    return counted.one()


async def _release(
    session: Session, messages: Sequence[OutboxMessage], now: datetime
) -> None:
    await session.exec(
        update(OutboxMessage)
        .where(col(OutboxMessage.id).in_([one.id for one in messages]))
        .values(status=OutboxStatus.QUEUED, released_at=now, next_at=now)
    )


async def _fold(
    session: Session, messages: Sequence[OutboxMessage], now: datetime
) -> None:
    """One digest in place of these."""
    digest_id = uuid4()
    session.add(
        OutboxMessage(
            id=digest_id,
            tenant_id=MIGRAHOSTING,
            channel="mail",
            recipient=OPERATOR,
            template=DIGEST,
            subject_id=digest_id,
            critical=any(one.critical for one in messages),
            released_at=now,
        )
    )
    await session.flush()
    await session.exec(
        update(OutboxMessage)
        .where(col(OutboxMessage.id).in_([one.id for one in messages]))
        .values(status=OutboxStatus.FOLDED, folded_into=digest_id)
    )
