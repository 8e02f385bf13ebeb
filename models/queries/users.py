"""Everything that is asked of users, and what a person at the machine does to them."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlmodel import col, delete, select

from models.audit import Action
from models.base import utc_now
from models.database import Session
from models.errors import NotFound
from models.queries import api_keys, audit, second_factors, sessions
from models.queries.audit import By
from models.queries.slices import Slice, Window, by_id, page
from models.users import Invitation, User


async def by_email(session: Session, email: str) -> User | None:
    """The user who logs in with this address."""
    return (
        await session.exec(select(User).where(User.email == email.strip().lower()))
    ).one_or_none()


async def disable(session: Session, by: By, email: str) -> None:
    """Out at once, on every process, and so are their keys. Safe to repeat. Raises
    `NotFound`."""
    user = await _named(session, email)
    user.disabled_at = user.disabled_at or utc_now()
    await sessions.end_others(session, user.id)
    await _record(session, by, user, Action.USER_DISABLED)
    await api_keys.revoke_beyond(session, by, user)


async def enable(session: Session, by: By, email: str) -> None:
    """May log in again. Safe to repeat. Raises `NotFound`."""
    user = await _named(session, email)
    user.disabled_at = None
    await _record(session, by, user, Action.USER_ENABLED)


async def reset_second_factor(session: Session, by: By, email: str) -> bool:
    """For whoever has lost app and recovery codes; whether there was one.

    Ends every login of theirs: the app may be in somebody's hands. Raises `NotFound`.
    """
    user = await _named(session, email)
    removed = await second_factors.remove(session, user.id)
    await sessions.end_others(session, user.id)
    if removed:
        await _record(session, by, user, Action.TOTP_DISABLED)
    return removed


async def _named(session: Session, email: str) -> User:
    user = await by_email(session, email)
    if user is None:
        raise NotFound(f"there is no user {email}")
    return user


async def _record(session: Session, by: By, user: User, action: Action) -> None:
    await audit.record(
        session,
        tenant_id=user.tenant_id,
        by=by,
        action=action,
        entity="user",
        entity_id=user.id,
    )


async def find(session: Session, window: Window) -> Slice[User]:
    """By name; disabled ones, too."""
    query = select(User).order_by(col(User.name), col(User.id))
    return await page(session, query, window)


async def held(session: Session, user_id: UUID) -> User:
    """The user, with every user of the tenant locked: of two who take each other's
    roles away, the second sees what the first did. Raises `NotFound`."""
    user = await by_id(session, User, user_id)
    everybody = select(User.id).where(User.tenant_id == user.tenant_id)
    await session.exec(everybody.order_by(col(User.id)).with_for_update(key_share=True))
    await session.refresh(user)
    return user


async def steady(session: Session, user_id: UUID) -> User:
    """The user as of now; nobody disables them or changes their roles before this
    transaction ends."""
    query = select(User).where(User.id == user_id).with_for_update(read=True)
    return (await session.exec(query)).one()


async def others_with(
    session: Session, user: User, roles: Collection[str], *, anywhere: bool = False
) -> bool:
    """Whether somebody else who may log in has one of the roles."""
    query = select(User.roles).where(
        User.id != user.id, col(User.disabled_at).is_(None)
    )
    if not anywhere:
        query = query.where(User.tenant_id == user.tenant_id)
    return any(set(roles) & set(one) for one in (await session.exec(query)).all())


async def invite(
    session: Session, user: User, token_hash: str, until: datetime
) -> None:
    """Replaces earlier invitations of the user's."""
    await session.exec(delete(Invitation).where(col(Invitation.user_id) == user.id))
    session.add(
        Invitation(
            tenant_id=user.tenant_id,
            user_id=user.id,
            token_hash=token_hash,
            expires_at=until,
        )
    )


async def accept(session: Session, token_hash: str) -> User | None:
    """Whom the invitation was for; it is used up. None if it is good for nothing."""
    burnt = await session.exec(
        delete(Invitation)
        .where(
            col(Invitation.token_hash) == token_hash,
            col(Invitation.expires_at) > utc_now(),
        )
        .returning(col(Invitation.user_id))
    )
    row = burnt.first()
    user = await session.get(User, row[0], with_for_update=True) if row else None
    return user if user and user.disabled_at is None else None
