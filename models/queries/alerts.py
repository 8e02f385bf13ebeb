"""Everything that is asked of alerts."""

from collections.abc import Sequence

from sqlmodel import col, select

from models.alerts import Alert
from models.database import Session
from models.queries.slices import Slice, Window, page
from models.states import AlertStatus


async def find(
    session: Session, window: Window, *, status: AlertStatus | None = None
) -> Slice[Alert]:
    """Newest first."""
    query = select(Alert).order_by(col(Alert.created_at).desc(), col(Alert.id))
    if status is not None:
        query = query.where(Alert.status == status)
    return await page(session, query, window)


async def open_of(session: Session, cause: str) -> Sequence[Alert]:
    """Every alert of this cause that is not resolved, oldest first."""
    found = await session.exec(
        select(Alert)
        .where(Alert.cause == cause, Alert.status != AlertStatus.RESOLVED)
        .order_by(col(Alert.created_at), col(Alert.id))
    )
    return found.all()
