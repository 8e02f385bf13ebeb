"""Everything that is asked of tenants."""

from sqlmodel import select

from models.database import Session
from models.errors import NotFound
from models.tenants import Tenant


async def by_name(session: Session, name: str) -> Tenant:
    """Raises `NotFound`."""
    found = (await session.exec(select(Tenant).where(Tenant.name == name))).first()
    if found is None:
        raise NotFound(f"there is no tenant {name}")
    return found
