"""Everything that is asked of alerts."""

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
