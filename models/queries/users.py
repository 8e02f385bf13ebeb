"""Everything that is asked of users."""

from sqlmodel import select

from models.database import Session
from models.users import User


async def by_email(session: Session, email: str) -> User | None:
    """The user who logs in with this address."""
    return (
        await session.exec(select(User).where(User.email == email.strip().lower()))
    ).one_or_none()
