"""What people do with keys, and who a key is."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from api.auth.actor import Actor
from api.auth.demand import Demand
from models.api_keys import PREFIX, ROLES, ApiKey, Scope, may_make
from models.base import utc_now
from models.database import Session
from models.errors import Denied, Invalid
from models.queries import api_keys, users
from models.queries.entries import KeyHolder
from models.tenants import MIGRAHOSTING
from models.users import Role


def holder(key: KeyHolder, demand: Demand) -> Actor:
    """Whom the key makes of its caller."""
    scopes = frozenset(Scope(scope) for scope in key.scopes if scope in list(Scope))
    roles = _roles(scopes)
    return Actor(
        kind="api_key",
        id=key.id,
        tenant_id=key.tenant_id,
        roles=roles,
        author=f"{key.name} ({PREFIX}{key.public_id})",
        session_id=key.id,
        second_factor_demanded=demand.of(roles),
        scopes=scopes,
    )


async def roles_of(session: Session, key_id: UUID) -> frozenset[Role] | None:
    """What the key may at this moment; None if it is good for nothing."""
    found = await api_keys.good(session, key_id)
    return _roles(found[0].scopes) if found else None


async def create(
    session: Session,
    actor: Actor,
    *,
    name: str,
    scopes: list[Scope],
    expires_at: datetime | None,
) -> tuple[ApiKey, str]:
    """A key of the caller's tenant and, this once, the key itself.

    Raises `Invalid`, and `Denied` for a scope that the caller lacks.
    """
    actor.prove_fresh("making an API key")
    if expires_at is not None and expires_at <= utc_now():
        raise Invalid("expiresAt", "want a moment that is still to come")
    if Scope.ORDERS_WRITE in scopes and actor.tenant_id != MIGRAHOSTING:
        raise Denied("orders by webhook are MigraHosting's: only its admins hand them")
    if Scope.UNLIMITED in scopes and not actor.platform:
        raise Denied("only a super_admin frees a key from limits")
    if not all(actor.may_grant(ROLES[scope]) for scope in scopes if scope in ROLES):
        raise Denied("nobody gives a key more than they may themselves")
    maker = await users.steady(session, actor.id)
    if maker.disabled_at is not None or not may_make(maker.roles, scopes):
        raise Denied("you may not make this key any more")
    made = await api_keys.create(
        session,
        actor.by,
        tenant_id=actor.tenant_id,
        name=name,
        scopes=scopes,
        expires_at=expires_at,
    )
    await session.commit()
    return made


async def revoke(session: Session, actor: Actor, key_id: UUID) -> None:
    """Ends the key; the very next request with it is refused. Raises `NotFound`."""
    await api_keys.revoke(session, actor.by, key_id)
    await session.commit()


def _roles(scopes: Iterable[str]) -> frozenset[Role]:
    return frozenset(ROLES[Scope(one)] for one in scopes if one in ROLES)
