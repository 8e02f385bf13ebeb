"""Log in, and log out."""

from dataclasses import dataclass
from uuid import UUID

from api.auth import passwords
from api.auth.actor import Actor
from api.auth.demand import Demand, login_lasts
from api.auth.origin import Origin
from api.auth.tokens import Signer
from api.services import second_factors
from api.services.refresh import Tokens, issue
from models import attempts as guards
from models.audit import Action
from models.base import utc_now
from models.database import Session
from models.errors import SecondFactorMissing, Unauthenticated, WrongCode
from models.queries import attempts, audit, sessions, users
from models.queries.audit import By
from models.sessions import LoginSession
from models.tenants import MIGRAHOSTING
from models.users import User
from models.vault import Vault


@dataclass(frozen=True)
class Desk:
    """What checks and signs logins."""

    signer: Signer
    vault: Vault
    demand: Demand


@dataclass(frozen=True)
class Credentials:
    """`code`: of the authenticator app, or a recovery code."""

    email: str
    password: str
    code: str | None = None


@dataclass(frozen=True)
class LoggedIn:
    """`limited`: it may do nothing yet but set up a second factor."""

    user: User
    session_id: UUID
    tokens: Tokens
    limited: bool


async def log_in(
    session: Session, desk: Desk, given: Credentials, origin: Origin
) -> LoggedIn:
    """A new login. Raises `Unauthenticated` whatever was wrong, `SecondFactorMissing`
    (the password is right; a code is wanted), `WrongCode`, and `TooMany`."""
    known = await sessions.knows(session, given.email, origin.network)
    account = guards.account(given.email, origin.network if known else None)
    address = guards.address(origin.network)
    await attempts.begin(session, account, address)
    user = await _with_password(session, given, origin)
    wanted = await second_factors.enabled(session, user.id)
    if wanted and given.code is None:
        await attempts.take_back(session, account, address)
        await session.commit()
        raise SecondFactorMissing("send `code` as well: of the app, or a recovery code")
    if wanted and not await second_factors.proves(
        session, desk.vault, user, given.code or ""
    ):
        await _record_failure(session, user, given.email, origin, wrong="code")
        raise WrongCode("the code is wrong, or was used already")
    await attempts.forget(session, account)
    await attempts.take_back(session, address)
    login = await _begin(session, user, origin, proven=wanted)
    tokens = issue(session, desk.signer, login)
    await session.commit()
    limited = desk.demand.of(user.roles) and not wanted
    return LoggedIn(user, login.id, tokens, limited)


async def log_out(session: Session, actor: Actor) -> None:
    """Ends the login; its access tokens stop working at once."""
    await sessions.end(session, actor.id, actor.session_id)
    await audit.record(
        session,
        tenant_id=actor.tenant_id,
        by=actor.by,
        action=Action.LOGIN_ENDED,
        entity="session",
        entity_id=actor.session_id,
    )
    await session.commit()


async def _with_password(session: Session, given: Credentials, origin: Origin) -> User:
    user = await users.by_email(session, given.email)
    # Nobody waits for a connection while a password is checked.
    await session.commit()
    enabled = user is not None and user.disabled_at is None
    stored = user.password_hash if user is not None and enabled else None
    if not await passwords.fits(given.password, stored) or user is None:
        wrong = "password" if enabled else "disabled" if user else "address"
        await _record_failure(session, user, given.email, origin, wrong=wrong)
        raise Unauthenticated("e-mail address or password is wrong")
    return user


async def _begin(
    session: Session, user: User, origin: Origin, *, proven: bool
) -> LoginSession:
    await sessions.remember(session, user.id, origin.network)
    await sessions.forget_expired(session, user.id)
    login = LoginSession(
        tenant_id=user.tenant_id,
        user_id=user.id,
        address=origin.address,
        user_agent=origin.user_agent,
        expires_at=utc_now() + login_lasts(user.roles),
        second_factor_at=utc_now() if proven else None,
    )
    session.add(login)
    await session.flush()
    await audit.record(
        session,
        tenant_id=user.tenant_id,
        by=By("user", user.id, user.email),
        action=Action.LOGIN_SUCCEEDED,
        entity="session",
        entity_id=login.id,
        details={"address": origin.address, "secondFactor": proven},
    )
    return login


async def _record_failure(
    session: Session, user: User | None, email: str, origin: Origin, *, wrong: str
) -> None:
    """The typed address, and nothing else of what was typed."""
    await audit.record(
        session,
        tenant_id=user.tenant_id if user else MIGRAHOSTING,
        by=By("anonymous", None, email.strip().lower()),
        action=Action.LOGIN_FAILED,
        entity="user",
        entity_id=user.id if user else None,
        details={"wrong": wrong, "address": origin.address},
    )
    await session.commit()
