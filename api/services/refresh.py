"""Tokens for a login: given, and renewed."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from api.auth.origin import Origin
from api.auth.tokens import Claims, Signer, refresh_token, token_hash
from models.audit import Action
from models.base import utc_now
from models.database import Session
from models.errors import Unauthenticated
from models.queries import audit, sessions
from models.queries.audit import By
from models.sessions import LoginSession, RefreshToken
from models.users import User

# So long a client whose answer was lost may send the old refresh token once more.
GRACE: Final = timedelta(seconds=10)


@dataclass(frozen=True)
class Tokens:
    """An access token, and the refresh token for the next one."""

    access: str
    refresh: str


def issue(
    session: Session, signer: Signer, login: LoginSession, *, parent: UUID | None = None
) -> Tokens:
    """New ones. `parent`: the refresh token that they are given for."""
    refresh = refresh_token()
    session.add(
        RefreshToken(
            tenant_id=login.tenant_id,
            session_id=login.id,
            token_hash=token_hash(refresh),
            parent_id=parent,
        )
    )
    return Tokens(signer.access(Claims(login.user_id, login.id)), refresh)


async def renew(session: Session, signer: Signer, token: str, origin: Origin) -> Tokens:
    """Fresh tokens for a refresh token, which works once.

    One that comes back was stolen or copied: the whole login ends. Except that within
    ten seconds, from the same program at the same address, it is a client whose
    answer was lost, as long as nobody has used what was given instead; that becomes
    void. Raises `Unauthenticated`.
    """
    found = await sessions.refresh_token(session, token_hash(token))
    login = await sessions.held(session, found.session_id) if found else None
    user = await session.get(User, login.user_id) if login else None
    if found is None or login is None or user is None:
        raise Unauthenticated("the refresh token is not valid, or not any more")
    lost = await _lost_answer(session, found, login, origin)
    reused = found.used_at is not None and lost is None
    if reused or user.disabled_at is not None or login.expires_at <= utc_now():
        await _end(session, login, user, origin, reused=reused)
        raise Unauthenticated("the refresh token is not valid, or not any more")
    replaced = lost or found
    replaced.used_at = login.last_seen_at = utc_now()
    login.address, login.user_agent = origin.address, origin.user_agent
    tokens = issue(session, signer, login, parent=found.id)
    await session.commit()
    return tokens


async def _lost_answer(
    session: Session, token: RefreshToken, login: LoginSession, origin: Origin
) -> RefreshToken | None:
    """What was given for a used token, if its client seems to have never had it."""
    if token.used_at is None or token.used_at + GRACE < utc_now():
        return None
    if (login.address, login.user_agent) != (origin.address, origin.user_agent):
        return None
    given = await sessions.successor(session, token)
    return given if given is not None and given.used_at is None else None


async def _end(
    session: Session, login: LoginSession, user: User, origin: Origin, *, reused: bool
) -> None:
    await session.delete(login)
    if reused:
        await audit.record(
            session,
            tenant_id=user.tenant_id,
            by=By("user", user.id, user.email),
            action=Action.LOGIN_TOKEN_REUSED,
            entity="session",
            entity_id=login.id,
            details={"address": origin.address},
        )
    await session.commit()
