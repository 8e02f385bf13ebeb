"""Everything that is asked of users and their logins."""

from uuid import UUID

from sqlalchemy import Row
from sqlmodel import col, delete, select, text

from models.base import utc_now
from models.database import Session
from models.users import RefreshToken, User

# Asked at every request: what the user may do now, and whether the login still lives.
_SIGNED_IN = text(
    "select id, tenant_id, email, name, roles from users where id = :user"
    " and disabled_at is null and exists (select 1 from refresh_tokens"
    " where family = :family and user_id = :user_text)"
)


async def by_email(session: Session, email: str) -> User | None:
    """The user who logs in with this address."""
    return (
        await session.exec(select(User).where(User.email == email.strip().lower()))
    ).one_or_none()


async def signed_in(
    session: Session, user_id: UUID, session_id: UUID
) -> Row[tuple[UUID, UUID, str, str, list[str]]] | None:
    """(id, tenant_id, email, name, roles); None if disabled or logged out."""
    found = await (await session.connection()).execute(
        _SIGNED_IN,
        {"user": user_id, "user_text": str(user_id), "family": str(session_id)},
    )
    return found.one_or_none()


async def refresh_token(session: Session, token_hash: str) -> RefreshToken | None:
    """The token, locked: of two who use it, one comes second."""
    return (
        await session.exec(
            select(RefreshToken)
            .where(RefreshToken.token_hash == token_hash)
            .with_for_update()
        )
    ).one_or_none()


async def end_family(session: Session, family: str) -> None:
    """Every token of the login dies, and with it the access tokens."""
    await session.exec(delete(RefreshToken).where(col(RefreshToken.family) == family))


async def forget_expired(session: Session, user_id: UUID) -> None:
    """Logins of this user that can never be renewed."""
    await session.exec(
        delete(RefreshToken).where(
            col(RefreshToken.user_id) == str(user_id),
            col(RefreshToken.expires_at) < utc_now(),
        )
    )
