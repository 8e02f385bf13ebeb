"""The one door for orders."""

from temporalio.client import Client

from api.services.starting import start_soon
from models.database import Session
from models.ordering import OrderRequest, Placed, RepeatKey
from models.queries import orders
from models.tenants import MIGRAHOSTING


async def place(
    session: Session,
    temporal: Client,
    request: OrderRequest,
    *,
    key: RepeatKey | None,
    platform_domain: str,
) -> Placed:
    """Accepts the order and starts its story in the background; a repeat gets the
    first result. Nobody waits for Temporal.

    Wants the platform's session. Raises `Invalid`, with nothing stored.
    """
    placed = await orders.place(
        session, MIGRAHOSTING, request, key=key, platform_domain=platform_domain
    )
    await session.commit()
    if placed.job is not None:
        start_soon(temporal, placed.job)
    return placed
