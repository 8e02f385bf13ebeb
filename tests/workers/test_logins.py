"""What is over is forgotten, and nothing else."""

from datetime import timedelta

from sqlmodel import select

from models.attempts import Attempts
from models.base import utc_now
from models.calls import CallCount
from models.database import Database
from models.sessions import KnownAddress, LoginSession, RefreshToken
from models.users import Role
from tests.api import rows
from tests.api.conftest import add_user
from workers import logins


async def test_logins_counts_and_addresses_are_forgotten_when_they_are_over(
    db: Database,
) -> None:
    user, now = await add_user(db, Role.VIEWER), utc_now()
    for name, age in (("old", timedelta(days=31)), ("new", timedelta())):
        then = now - age
        login = LoginSession(
            tenant_id=user.tenant_id,
            user_id=user.id,
            address=name,
            user_agent="",
            expires_at=then + timedelta(hours=1),
        )
        token = RefreshToken(
            tenant_id=user.tenant_id, session_id=login.id, token_hash=name
        )
        await rows.add(
            db,
            login,
            token,
            KnownAddress(user_id=user.id, address=name, seen_at=then),
            Attempts(key=name, failures=9, failed_at=then, blocked_until=then),
            CallCount(key=name, ends_at=then + timedelta(minutes=1), hits=1),
        )

    await logins.forget(db)

    async with db.platform() as session:
        for column in (
            LoginSession.address,
            RefreshToken.token_hash,
            KnownAddress.address,
            Attempts.key,
            CallCount.key,
        ):
            assert (await session.exec(select(column))).all() == ["new"], column
