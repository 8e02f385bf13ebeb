"""An authenticator app for a user: set up, proven, replaced, taken away."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from api.auth import one_time, passwords
from api.auth.actor import Actor
from api.auth.demand import FRESH
from models import attempts as guards
from models.audit import Action
from models.base import utc_now
from models.database import Session
from models.errors import Unauthenticated, WrongCode, WrongState
from models.queries import attempts, audit, second_factors, sessions
from models.queries.audit import By
from models.second_factors import SecondFactor
from models.users import User
from models.vault import Vault


@dataclass(frozen=True)
class Enrolment:
    """Shown once: the app's secret, and the same as the content of a QR code."""

    secret: str
    otpauth_uri: str


@dataclass(frozen=True)
class Standing:
    """How a user's second factor stands."""

    enabled: bool
    demanded: bool
    confirmed_at: datetime | None
    recovery_codes_left: int
    fresh_until: datetime | None


async def standing(session: Session, actor: Actor) -> Standing:
    """That of the caller."""
    factor = await second_factors.of_user(session, actor.id)
    at = actor.second_factor_at
    return Standing(
        enabled=factor is not None and factor.confirmed_at is not None,
        demanded=actor.second_factor_demanded,
        confirmed_at=factor.confirmed_at if factor else None,
        recovery_codes_left=await second_factors.recovery_codes_left(session, actor.id),
        fresh_until=at + FRESH if at else None,
    )


async def enrol(
    session: Session, vault: Vault, actor: Actor, *, password: str
) -> Enrolment:
    """A new secret for the caller's app; it counts once a code confirms it.

    Raises `Unauthenticated` (the password), `TooMany`, `WrongState` (there is one).
    """
    user = await session.get_one(User, actor.id)
    await prove_password(session, user, password)
    # Of two that enrol at once, one comes second.
    await session.refresh(user, with_for_update=True)
    secret = one_time.new_secret()
    factor = await second_factors.of_user(session, actor.id, lock=True)
    if factor is None:
        factor = SecondFactor(tenant_id=user.tenant_id, user_id=user.id, secret="")
    elif factor.confirmed_at is not None:
        raise WrongState(
            "a second factor is set up: remove it first, DELETE /api/auth/totp"
        )
    factor.secret = vault.seal(secret.encode(), bound_to=factor.bound_to)
    session.add(factor)
    await session.commit()
    return Enrolment(secret, one_time.provisioning_uri(secret, account=user.email))


async def confirm(
    session: Session, vault: Vault, actor: Actor, *, code: str
) -> list[str]:
    """The first code of the app: from now on it counts. Ten recovery codes.

    Raises `WrongCode`, `TooMany`, `WrongState` (nothing to confirm).
    """
    guard = guards.code(actor.id)
    await attempts.begin(session, guard)
    factor = await second_factors.of_user(session, actor.id, lock=True)
    if factor is None or factor.confirmed_at is not None:
        await attempts.take_back(session, guard)
        await session.commit()
        raise WrongState("nothing waits to be confirmed: POST /api/auth/totp first")
    if not _accepts(vault, factor, code):
        await session.rollback()
        raise WrongCode("the code is wrong; look whether the clock of the app is right")
    factor.confirmed_at = utc_now()
    await attempts.forget(session, guard)
    await _proven(session, actor)
    user = await session.get_one(User, actor.id)
    codes = await _new_recovery_codes(session, user)
    await _record(session, user, Action.TOTP_ENABLED)
    await session.commit()
    return codes


async def step_up(
    session: Session, vault: Vault, actor: Actor, *, code: str
) -> datetime:
    """A code for the next ten minutes; until when. A recovery code does as well.

    Raises `WrongCode`, `TooMany`, `WrongState` (none is set up).
    """
    guard = guards.code(actor.id)
    await attempts.begin(session, guard)
    if not await enabled(session, actor.id):
        await attempts.take_back(session, guard)
        await session.commit()
        raise WrongState("no second factor is set up: POST /api/auth/totp")
    user = await session.get_one(User, actor.id)
    if not await proves(session, vault, user, code):
        await session.rollback()
        raise WrongCode("the code is wrong, or was used already")
    await attempts.forget(session, guard)
    at = await _proven(session, actor)
    await _record(session, user, Action.STEP_UP, sessionId=str(actor.session_id))
    await session.commit()
    return at + FRESH


async def renew_recovery_codes(session: Session, actor: Actor) -> list[str]:
    """Ten new ones, the old ones stop. Raises `StepUpRequired`, `WrongState`."""
    actor.prove_factor("renewing recovery codes")
    if not await enabled(session, actor.id):
        raise WrongState("no second factor is set up: POST /api/auth/totp")
    user = await session.get_one(User, actor.id)
    codes = await _new_recovery_codes(session, user)
    await _record(session, user, Action.RECOVERY_CODES_RENEWED)
    await session.commit()
    return codes


async def disable(session: Session, actor: Actor) -> None:
    """Without a second factor from now on. Raises `StepUpRequired`, `WrongState`."""
    actor.prove_factor("removing the second factor")
    if not await second_factors.remove(session, actor.id):
        raise WrongState("no second factor is set up")
    user = await session.get_one(User, actor.id)
    await _record(session, user, Action.TOTP_DISABLED)
    await session.commit()


async def enabled(session: Session, user_id: UUID) -> bool:
    """Whether a login of this user wants a code."""
    factor = await second_factors.of_user(session, user_id)
    return factor is not None and factor.confirmed_at is not None


async def proves(session: Session, vault: Vault, user: User, code: str) -> bool:
    """Whether the code is good now; it is not good again. The caller commits."""
    if one_time.looks_like_totp(code):
        factor = await second_factors.of_user(session, user.id, lock=True)
        return factor is not None and _accepts(vault, factor, code)
    digest = one_time.recovery_hash(code)
    burnt = await second_factors.burn_recovery_code(session, user.id, digest)
    if burnt:
        await _record(session, user, Action.RECOVERY_CODE_USED)
    return burnt


async def prove_password(session: Session, user: User, password: str) -> None:
    """That whoever holds the session knows it. Raises `Unauthenticated`, `TooMany`."""
    guard = guards.code(user.id)
    await attempts.begin(session, guard)
    if not await passwords.fits(password, user.password_hash):
        raise Unauthenticated("the password is wrong")
    await attempts.forget(session, guard)
    await session.commit()


def _accepts(vault: Vault, factor: SecondFactor, code: str) -> bool:
    secret = vault.open(factor.secret, bound_to=factor.bound_to).decode()
    step = one_time.matching_step(secret, code, after=factor.last_step, now=utc_now())
    if step is None:
        return False
    factor.last_step = step
    return True


async def _proven(session: Session, actor: Actor) -> datetime:
    login = await sessions.held(session, actor.session_id)
    now = utc_now()
    if login is not None:
        login.second_factor_at = now
    return now


async def _new_recovery_codes(session: Session, user: User) -> list[str]:
    codes = one_time.new_recovery_codes()
    hashes = [one_time.recovery_hash(code) for code in codes]
    await second_factors.put_recovery_codes(session, user, hashes)
    return codes


async def _record(session: Session, user: User, action: Action, **details: str) -> None:
    await audit.record(
        session,
        tenant_id=user.tenant_id,
        by=By("user", user.id, user.email),
        action=action,
        entity="user",
        entity_id=user.id,
        details=details,
    )
