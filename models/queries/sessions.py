"""Everything that is asked of logins and their refresh tokens."""

from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, delete, select, text, update

from models.base import utc_now
from models.database import Session
from models.queries.slices import Slice, Window, page
from models.sessions import KnownAddress, LoginSession, RefreshToken
from models.users import User

# An address that a user has not come from for this long is a stranger's again.
KNOWN_FOR: Final = timedelta(days=30)

_KNOWN = text(
    "select true from known_addresses k join users u on u.id = k.user_id"
    " where u.email = :email and k.address = :address and k.seen_at > :since"
)


async def of_user(
    session: Session, user_id: UUID, window: Window
) -> Slice[LoginSession]:
    """Those that live, the newest first."""
    query = (
        select(LoginSession)
        .where(
            LoginSession.user_id == user_id, col(LoginSession.expires_at) > utc_now()
        )
        .order_by(col(LoginSession.created_at).desc(), col(LoginSession.id))
    )
    return await page(session, query, window)


async def roles_of(
    session: Session, user_id: UUID, session_id: UUID
) -> frozenset[str] | None:
    """What the user of this login may do now; None if the login is over."""
    found = await session.exec(
        select(User.roles)
        .join(LoginSession, col(LoginSession.user_id) == col(User.id))
        .where(
            LoginSession.id == session_id,
            User.id == user_id,
            col(LoginSession.expires_at) > utc_now(),
            col(User.disabled_at).is_(None),
        )
    )
    roles = found.one_or_none()
    return None if roles is None else frozenset(roles)


async def end(session: Session, user_id: UUID, session_id: UUID) -> bool:
    """Whether there was such a login; its tokens stop working at once."""
    ended = await session.exec(
        delete(LoginSession).where(
            col(LoginSession.id) == session_id, col(LoginSession.user_id) == user_id
        )
    )
    return ended.rowcount > 0


async def end_others(
    session: Session, user_id: UUID, keep: UUID | None = None
) -> list[UUID]:
    """Ends every login of the user's but one; their ids."""
    query = delete(LoginSession).where(col(LoginSession.user_id) == user_id)
    if keep is not None:
        query = query.where(col(LoginSession.id) != keep)
    ended = await session.exec(query.returning(col(LoginSession.id)))
    return [row[0] for row in ended.all()]


async def refresh_token(session: Session, token_hash: str) -> RefreshToken | None:
    """The token, locked with its login: of two who use it, one comes second."""
    found = (
        await session.exec(
            select(RefreshToken).where(RefreshToken.token_hash == token_hash)
        )
    ).one_or_none()
    if found is None or await held(session, found.session_id) is None:
        return None
    await session.refresh(found)
    return found


async def held(session: Session, session_id: UUID) -> LoginSession | None:
    """The login, locked."""
    return await session.get(LoginSession, session_id, with_for_update=True)


async def successor(session: Session, token: RefreshToken) -> RefreshToken | None:
    """What was given for the token last."""
    return (
        await session.exec(
            select(RefreshToken)
            .where(RefreshToken.parent_id == token.id)
            .order_by(col(RefreshToken.created_at).desc())
        )
    ).first()


async def knows(session: Session, email: str, network: str) -> bool:
    """Whether the user of this address of mail has logged in from there lately."""
    found = await (await session.connection()).execute(
        _KNOWN,
        {
            "email": email.strip().lower(),
            "address": network,
            "since": utc_now() - KNOWN_FOR,
        },
    )
    return found.first() is not None


async def remember(session: Session, user_id: UUID, network: str) -> None:
    """That the user has logged in from there."""
    now = utc_now()
    await session.exec(
        insert(KnownAddress)
        .values(user_id=user_id, address=network, seen_at=now)
        .on_conflict_do_update(
            index_elements=["user_id", "address"], set_={"seen_at": now}
        )
    )


async def forget_expired(session: Session, user_id: UUID) -> None:
    """Logins of this user that are over."""
    await session.exec(
        delete(LoginSession).where(
            col(LoginSession.user_id) == user_id,
            col(LoginSession.expires_at) < utc_now(),
        )
    )


async def forget_factor(session: Session, user_id: UUID) -> None:
    """What the user's logins have proven counts no longer."""
    await session.exec(
        update(LoginSession)
        .where(col(LoginSession.user_id) == user_id)
        .values(second_factor_at=None)
    )
