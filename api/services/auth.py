"""Log in, stay in, log out."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from api.auth import passwords
from api.auth.actor import Actor
from api.auth.tokens import REFRESH_LIVES, Claims, Signer, refresh_token, token_hash
from models.base import utc_now
from models.database import Session
from models.errors import Unauthenticated
from models.queries import audit, users
from models.queries.audit import By
from models.tenants import MIGRAHOSTING
from models.users import RefreshToken, User


@dataclass(frozen=True)
class Tokens:
    """An access token, and the refresh token for the next one."""

    access: str
    refresh: str


async def log_in(
    session: Session, signer: Signer, *, email: str, password: str, where: str
) -> tuple[User, Tokens]:
    """The user and a new login; `where` is the caller's address.

    Raises `Unauthenticated`, whatever was wrong.
    """
    user = await users.by_email(session, email)
    # Nobody waits for a connection while a password is checked.
    await session.commit()
    stored = user.password_hash if user and user.disabled_at is None else None
    if not await passwords.fits(password, stored) or user is None:
        await _record_failure(session, user, email, where)
        raise Unauthenticated("e-mail address or password is wrong")
    await users.forget_expired(session, user.id)
    family = uuid4()
    tokens = await _issue(session, signer, user, family=family)
    await _record(session, user, "login.succeeded", family, {"address": where})
    await session.commit()
    return user, tokens


async def renew(session: Session, signer: Signer, token: str) -> Tokens:
    """Fresh tokens for a refresh token, which works once.

    One that comes back was stolen or copied: the whole login ends. Raises
    `Unauthenticated`.
    """
    found = await users.refresh_token(session, token_hash(token))
    user = await session.get(User, UUID(found.user_id)) if found else None
    if found is None or user is None or not _renewable(found, user):
        if found is not None:
            await users.end_family(session, found.family)
            if user is not None and found.used_at is not None:
                await _record(session, user, "login.token_reused", UUID(found.family))
            await session.commit()
        raise Unauthenticated("the refresh token is not valid, or not any more")
    found.used_at = utc_now()
    tokens = await _issue(session, signer, user, family=UUID(found.family))
    await session.commit()
    return tokens


async def log_out(session: Session, actor: Actor) -> None:
    """Ends the login; its access tokens stop working at once."""
    await users.end_family(session, str(actor.session_id))
    await audit.record(
        session,
        tenant_id=actor.tenant_id,
        by=actor.by,
        action="login.ended",
        entity="session",
        entity_id=actor.session_id,
    )
    await session.commit()


async def _record(
    session: Session,
    user: User,
    action: str,
    family: UUID,
    details: dict[str, Any] | None = None,
) -> None:
    await audit.record(
        session,
        tenant_id=user.tenant_id,
        by=By("user", user.id, user.email),
        action=action,
        entity="session",
        entity_id=family,
        details=details,
    )


async def _record_failure(
    session: Session, user: User | None, email: str, where: str
) -> None:
    """The typed address, and nothing else of what was typed."""
    wrong = "password" if user else "address"
    if user is not None and user.disabled_at is not None:
        wrong = "disabled"
    await audit.record(
        session,
        tenant_id=user.tenant_id if user else MIGRAHOSTING,
        by=By("anonymous", None, email.strip().lower()),
        action="login.failed",
        entity="user",
        entity_id=user.id if user else None,
        details={"wrong": wrong, "address": where},
    )
    await session.commit()


def _renewable(token: RefreshToken, user: User) -> bool:
    return (
        token.used_at is None
        and token.expires_at > utc_now()
        and user.disabled_at is None
    )


async def _issue(
    session: Session, signer: Signer, user: User, *, family: UUID
) -> Tokens:
    refresh = refresh_token()
    session.add(
        RefreshToken(
            tenant_id=user.tenant_id,
            user_id=str(user.id),
            family=str(family),
            token_hash=token_hash(refresh),
            expires_at=utc_now() + REFRESH_LIVES,
        )
    )
    return Tokens(signer.access(Claims(user.id, family)), refresh)
