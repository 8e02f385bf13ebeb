"""The one door for orders."""

from functools import partial

from psycopg.errors import UniqueViolation

from models.database import Ask
from models.ordering import OrderRequest, Placed, RepeatKey
from models.queries import orders
from models.tenants import MIGRAHOSTING


async def place(
    ask: Ask, request: OrderRequest, *, key: RepeatKey | None, platform_domain: str
) -> Placed:
    """Accepts the order; a repeat gets the first result.

    The commit of its one statement wakes the worker's sweep, which starts the story:
    one start, and nobody here waits for Temporal.

    `ask` works for the platform, durably. Raises `Invalid`, with nothing stored.
    """
    accept = partial(
        orders.place,
        ask,
        MIGRAHOSTING,
        request,
        key=key,
        platform_domain=platform_domain,
    )
    try:
        return await accept()
    except UniqueViolation:
        # Another order of the customer took the website that an add-on was for.
        return await accept()
