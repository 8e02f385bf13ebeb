"""The caller's own logins: listed, ended, and what ends them."""

from collections.abc import Iterable
from uuid import UUID

from api.auth import passwords
from api.auth.actor import Actor
from api.services.second_factors import prove_password
from models.audit import Action
from models.database import Session
from models.errors import Invalid, NotFound
from models.passwords import check_new
from models.queries import audit, sessions
from models.users import User

SHORTEST_PASSWORD = 12


async def revoke(session: Session, actor: Actor, session_id: UUID) -> None:
    """Ends one login of the caller's. Raises `NotFound`, also for another user's."""
    if not await sessions.end(session, actor.id, session_id):
        raise NotFound("there is no such session")
    await _record_ended(session, actor, [session_id])
    await session.commit()


async def revoke_others(session: Session, actor: Actor) -> int:
    """Ends all of them but the one that calls; how many."""
    ended = await sessions.end_others(session, actor.id, actor.session_id)
    await _record_ended(session, actor, ended)
    await session.commit()
    return len(ended)


async def change_password(
    session: Session, actor: Actor, *, current: str, new: str
) -> int:
    """Whoever knew the old one is out; how many other logins ended.

    Raises `Unauthenticated` (the current one is wrong), `TooMany`, `Invalid`.
    """
    user = await session.get_one(User, actor.id)
    check_new(new, email=user.email, field="newPassword")
    if new == current:
        raise Invalid("newPassword", "want another one than before")
    await prove_password(session, user, current)
    user.password_hash = await passwords.hashed(new)
    ended = await sessions.end_others(session, actor.id, actor.session_id)
    await audit.record(
        session,
        tenant_id=actor.tenant_id,
        by=actor.by,
        action=Action.PASSWORD_CHANGED,
        entity="user",
        entity_id=actor.id,
    )
    await _record_ended(session, actor, ended)
    await session.commit()
    return len(ended)


async def _record_ended(session: Session, actor: Actor, ended: Iterable[UUID]) -> None:
    for session_id in ended:
        await audit.record(
            session,
            tenant_id=actor.tenant_id,
            by=actor.by,
            action=Action.SESSION_REVOKED,
            entity="session",
            entity_id=session_id,
        )
