"""The one door for orders."""

from models.database import Session
from models.ordering import OrderRequest, Placed, RepeatKey
from models.queries import orders
from models.tenants import MIGRAHOSTING


async def place(
    session: Session,
    request: OrderRequest,
    *,
    key: RepeatKey | None,
    platform_domain: str,
) -> Placed:
    """Accepts the order; a repeat gets the first result.

    The same commit wakes the worker's sweep, which starts the story: one start, and
    nobody here waits for Temporal.

    Wants the platform's session. Raises `Invalid`, with nothing stored.
    """
    placed = await orders.place(
        session, MIGRAHOSTING, request, key=key, platform_domain=platform_domain
    )
    await session.commit()
    return placed
