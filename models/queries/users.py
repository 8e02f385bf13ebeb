"""Everything that is asked of users, and what a person at the machine does to them."""

from sqlmodel import select

from models.base import utc_now
from models.database import Session
from models.errors import NotFound
from models.queries import audit, second_factors, sessions
from models.queries.audit import By
from models.users import User


async def by_email(session: Session, email: str) -> User | None:
    """The user who logs in with this address."""
    return (
        await session.exec(select(User).where(User.email == email.strip().lower()))
    ).one_or_none()


async def disable(session: Session, by: By, email: str) -> None:
    """Out at once, on every process. Safe to repeat. Raises `NotFound`."""
    user = await _named(session, email)
    user.disabled_at = user.disabled_at or utc_now()
    await sessions.end_others(session, user.id)
    await _record(session, by, user, "user.disabled")


async def enable(session: Session, by: By, email: str) -> None:
    """May log in again. Safe to repeat. Raises `NotFound`."""
    user = await _named(session, email)
    user.disabled_at = None
    await _record(session, by, user, "user.enabled")


async def reset_second_factor(session: Session, by: By, email: str) -> bool:
    """For whoever has lost app and recovery codes; whether there was one.

    Ends every login of theirs: the app may be in somebody's hands. Raises `NotFound`.
    """
    user = await _named(session, email)
    removed = await second_factors.remove(session, user.id)
    await sessions.end_others(session, user.id)
    if removed:
        await _record(session, by, user, "totp.disabled")
    return removed


async def _named(session: Session, email: str) -> User:
    user = await by_email(session, email)
    if user is None:
        raise NotFound(f"there is no user {email}")
    return user


async def _record(session: Session, by: By, user: User, action: str) -> None:
    await audit.record(
        session,
        tenant_id=user.tenant_id,
        by=by,
        action=action,
        entity="user",
        entity_id=user.id,
    )
