"""Answers kept under an Idempotency-Key are forgotten after a day."""

from models.database import Database
from models.queries import idempotency

_BATCH = 1000


async def forget(db: Database) -> None:
    """A batch at a time, so that no transaction is long."""
    swept = _BATCH
    while swept == _BATCH:
        async with db.platform() as session:
            swept = await idempotency.sweep(session, most=_BATCH)
            await session.commit()
