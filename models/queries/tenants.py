"""Everything that is asked of tenants."""

from uuid import UUID

from sqlmodel import col, select

from models.database import Session
from models.errors import NotFound
from models.queries.slices import Slice, Window, page
from models.tenants import Tenant


async def by_name(session: Session, name: str) -> Tenant:
    """Raises `NotFound`."""
    found = (await session.exec(select(Tenant).where(Tenant.name == name))).first()
    if found is None:
        raise NotFound(f"there is no tenant {name}")
    return found


async def find(session: Session, window: Window) -> Slice[Tenant]:
    """By name."""
    return await page(session, select(Tenant).order_by(col(Tenant.name)), window)


async def get(session: Session, tenant_id: UUID) -> Tenant:
    """Raises `NotFound`."""
    found = await session.get(Tenant, tenant_id)
    if found is None:
        raise NotFound(f"there is no tenant {tenant_id}")
    return found
