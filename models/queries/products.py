"""Everything that is asked of the catalogue."""

from uuid import UUID

from sqlmodel import col, select

from models.database import Session
from models.products import Product
from models.queries.slices import Slice, Window, by_id, page


async def get(session: Session, product_id: UUID) -> Product:
    """The product. Raises `NotFound`."""
    return await by_id(session, Product, product_id)


async def find(
    session: Session,
    window: Window,
    *,
    product_type: str | None = None,
    active_only: bool = False,
) -> Slice[Product]:
    """In the order of type and code."""
    query = select(Product).order_by(
        col(Product.type), col(Product.code), col(Product.id)
    )
    if product_type is not None:
        query = query.where(Product.type == product_type)
    if active_only:
        query = query.where(Product.status == "active")
    return await page(session, query, window)
