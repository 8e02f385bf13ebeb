"""Everything that is asked of customers."""

from uuid import UUID

from sqlmodel import col, or_, select

from models.customers import Customer
from models.database import Session
from models.queries.slices import Slice, Window, by_id, page


async def get(session: Session, customer_id: UUID) -> Customer:
    """The customer. Raises `NotFound`."""
    return await by_id(session, Customer, customer_id)


async def find(
    session: Session, window: Window, *, search: str | None = None
) -> Slice[Customer]:
    """Newest first; `search` is looked for in name and e-mail address."""
    query = select(Customer).order_by(col(Customer.created_at).desc(), col(Customer.id))
    if search:
        query = query.where(
            or_(
                col(Customer.name).icontains(search, autoescape=True),
                col(Customer.email).icontains(search, autoescape=True),
            )
        )
    return await page(session, query, window)
