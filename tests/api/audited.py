"""What the audit log tells, for the tests of those who write to it."""

from sqlmodel import col, select

from models.audit import AuditEvent
from models.database import Database


async def told(db: Database, *actions: str) -> list[AuditEvent]:
    """The events of these actions (of any, if none is named), oldest first."""
    async with db.platform() as session:
        query = select(AuditEvent).order_by(col(AuditEvent.created_at))
        if actions:
            query = query.where(col(AuditEvent.action).in_(actions))
        return list((await session.exec(query)).all())
