"""Companies join the platform."""

from sqlalchemy.exc import IntegrityError

from api.auth.actor import Actor
from models.audit import Action
from models.database import Session
from models.errors import Conflict
from models.queries import audit
from models.tenants import Tenant


async def create(session: Session, actor: Actor, name: str) -> Tenant:
    """Wants the platform's session. Raises `Conflict` if the name is taken."""
    tenant = Tenant(name=name)
    try:
        async with session.begin_nested():
            session.add(tenant)
    except IntegrityError:
        raise Conflict("there is a tenant of this name") from None
    await audit.record(
        session,
        tenant_id=tenant.id,
        by=actor.by,
        action=Action.TENANT_CREATED,
        entity="tenant",
        entity_id=tenant.id,
        details={"name": name},
    )
    await session.commit()
    return tenant
