"""Everything that is asked of authenticator apps and recovery codes."""

from collections.abc import Iterable
from uuid import UUID

from sqlmodel import col, delete, func, select, update

from models.base import utc_now
from models.database import Session
from models.queries import sessions
from models.second_factors import RecoveryCode, SecondFactor
from models.users import User


async def of_user(
    session: Session, user_id: UUID, *, lock: bool = False
) -> SecondFactor | None:
    """The user's authenticator, confirmed or not."""
    query = select(SecondFactor).where(SecondFactor.user_id == user_id)
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    return (await session.exec(query)).one_or_none()


async def put_recovery_codes(
    session: Session, user: User, hashes: Iterable[str]
) -> None:
    """These, instead of whatever the user had."""
    await forget_recovery_codes(session, user.id)
    session.add_all(
        RecoveryCode(tenant_id=user.tenant_id, user_id=user.id, code_hash=one)
        for one in hashes
    )


async def forget_recovery_codes(session: Session, user_id: UUID) -> None:
    """The user's, used or not."""
    await session.exec(delete(RecoveryCode).where(col(RecoveryCode.user_id) == user_id))


async def burn_recovery_code(session: Session, user_id: UUID, code_hash: str) -> bool:
    """Whether it was good; of two who use it at once, one is second."""
    burnt = await session.exec(
        update(RecoveryCode)
        .where(
            col(RecoveryCode.user_id) == user_id,
            col(RecoveryCode.code_hash) == code_hash,
            col(RecoveryCode.used_at).is_(None),
        )
        .values(used_at=utc_now())
    )
    return burnt.rowcount > 0


async def recovery_codes_left(session: Session, user_id: UUID) -> int:
    """How many still work."""
    query = select(func.count()).where(
        col(RecoveryCode.user_id) == user_id, col(RecoveryCode.used_at).is_(None)
    )
    return (await session.exec(query)).one()


async def remove(session: Session, user_id: UUID) -> bool:
    """Takes it away, with what logins have proven by it. Whether there was one."""
    factor = await of_user(session, user_id, lock=True)
    if factor is None:
        return False
    await session.delete(factor)
    await forget_recovery_codes(session, user_id)
    await sessions.forget_factor(session, user_id)
    return True
