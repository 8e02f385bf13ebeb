"""Who may log in, and what they may do. Nobody gives or takes more than they have."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from api.auth import passwords
from api.auth.actor import Actor
from api.auth.tokens import token_hash
from models.audit import Action
from models.base import utc_now
from models.database import Session
from models.errors import Conflict, Denied, Invalid, Unauthenticated, WrongState
from models.ordering import email_address
from models.passwords import check_new
from models.queries import api_keys, audit, sessions, users
from models.queries.audit import By
from models.tenants import Tenant
from models.users import Role, User

INVITED_FOR: Final = timedelta(days=3)

# An empty hash fits no password.
_NO_PASSWORD: Final = ""
_ADMINS: Final = (Role.ADMIN, Role.SUPER_ADMIN)


@dataclass(frozen=True)
class Invitation:
    """Shown once, to be handed to the user."""

    token: str
    expires_at: datetime


@dataclass(frozen=True)
class Change:
    """None: as it was."""

    name: str | None = None
    email: str | None = None
    roles: Sequence[Role] | None = None
    enabled: bool | None = None


async def create(
    session: Session,
    actor: Actor,
    *,
    name: str,
    email: str,
    roles: Sequence[Role],
    enabled: bool,
    tenant_id: UUID | None,
) -> tuple[User, Invitation]:
    """A user without a password, and the invitation to set one.

    Raises `Invalid`, `Denied` (a role above the caller's, another tenant), `Conflict`
    (the address is taken).
    """
    _prove_may_grant(actor, roles)
    user = User(
        tenant_id=await _tenant(session, actor, tenant_id),
        name=name,
        email=email_address(email, field="email"),
        password_hash=_NO_PASSWORD,
        roles=sorted({str(role) for role in roles}),
        disabled_at=None if enabled else utc_now(),
    )
    await _put(session, user)
    invitation = await _invite(session, user)
    await _record(session, actor.by, user, Action.USER_CREATED, roles=user.roles)
    await session.commit()
    return user, invitation


async def update(session: Session, actor: Actor, user_id: UUID, change: Change) -> User:
    """The user as changed, from this moment on.

    Raises `NotFound`, `Invalid`, `Denied` (above the caller, or the caller's own
    roles), `Conflict` (the address is taken), `WrongState` (the last admin).
    """
    user = await _held(session, actor, user_id)
    if change.roles is not None and {*change.roles} != {*user.roles}:
        await _change_roles(session, actor, user, change.roles)
    if change.enabled is not None and change.enabled != (user.disabled_at is None):
        await _switch(session, actor, user, on=change.enabled)
    email = user.email
    if change.email is not None:
        email = email_address(change.email, field="email")
    wanted = {"name": change.name or user.name, "email": email}
    changed = sorted(key for key, to in wanted.items() if getattr(user, key) != to)
    if changed:
        user.name, user.email = wanted["name"], wanted["email"]
        await _put(session, user)
        await _record(session, actor.by, user, Action.USER_UPDATED, changed=changed)
    await session.commit()
    return user


async def delete(session: Session, actor: Actor, user_id: UUID) -> None:
    """The user stays in the books and is out at once. Safe to repeat. Raises as
    `update`."""
    user = await _held(session, actor, user_id)
    if user.disabled_at is None:
        await _switch(session, actor, user, on=False)
    await session.commit()


async def invite(
    session: Session, actor: Actor, user_id: UUID
) -> tuple[User, Invitation]:
    """Another invitation in place of the first. Raises as `update`, and `WrongState`
    if the user has set a password."""
    user = await _held(session, actor, user_id)
    if user.password_hash != _NO_PASSWORD or user.disabled_at is not None:
        raise WrongState("the user has a password, or is disabled", status=user.status)
    invitation = await _invite(session, user)
    await _record(session, actor.by, user, Action.USER_INVITED)
    await session.commit()
    return user, invitation


async def set_password(session: Session, *, token: str, password: str) -> None:
    """What the invited user does, once. Wants the platform's session.

    Raises `Invalid` (the invitation still holds) and `Unauthenticated`.
    """
    user = await users.accept(session, token_hash(token))
    if user is None:
        raise Unauthenticated("the invitation is not valid, or not any more")
    check_new(password, email=user.email, field="password")
    user.password_hash = await passwords.hashed(password)
    by = By("user", user.id, user.email)
    await _record(session, by, user, Action.PASSWORD_SET)
    await session.commit()


async def _held(session: Session, actor: Actor, user_id: UUID) -> User:
    user = await users.held(session, user_id)
    if not all(actor.may_grant(Role(role)) for role in user.roles):
        raise Denied("this user may more than you")
    return user


async def _change_roles(
    session: Session, actor: Actor, user: User, roles: Sequence[Role]
) -> None:
    if user.id == actor.id:
        raise Denied("nobody changes their own roles")
    _prove_may_grant(actor, roles)
    await _prove_not_last(session, user, keeps=roles)
    before, user.roles = user.roles, sorted({str(role) for role in roles})
    said = {"from": before, "to": user.roles}
    await _record(session, actor.by, user, Action.USER_ROLES_CHANGED, **said)
    await api_keys.revoke_beyond(session, actor.by, user)


async def _switch(session: Session, actor: Actor, user: User, *, on: bool) -> None:
    if user.id == actor.id:
        raise Denied("nobody disables themselves")
    if not on:
        await _prove_not_last(session, user, keeps=())
        await sessions.end_others(session, user.id)
    user.disabled_at = None if on else utc_now()
    await _record(
        session, actor.by, user, Action.USER_ENABLED if on else Action.USER_DISABLED
    )
    await api_keys.revoke_beyond(session, actor.by, user)


async def _prove_not_last(
    session: Session, user: User, *, keeps: Sequence[Role]
) -> None:
    if user.disabled_at is not None:
        return
    lost = {Role(role) for role in user.roles} - {*keeps}
    if Role.SUPER_ADMIN in lost and not await users.others_with(
        session, user, (Role.SUPER_ADMIN,), anywhere=True
    ):
        raise WrongState("this is the platform's last super admin")
    stays = {*keeps}.intersection(_ADMINS)
    if lost.intersection(_ADMINS) and not (
        stays or await users.others_with(session, user, _ADMINS)
    ):
        raise WrongState("this is the tenant's last admin")


def _prove_may_grant(actor: Actor, roles: Sequence[Role]) -> None:
    for role in roles:
        if not actor.may_grant(role):
            raise Denied(f"only a {Role.SUPER_ADMIN} makes somebody {role}")


async def _tenant(session: Session, actor: Actor, tenant_id: UUID | None) -> UUID:
    if tenant_id is None or tenant_id == actor.tenant_id:
        return actor.tenant_id
    if not actor.platform:
        raise Denied("this is another tenant")
    if await session.get(Tenant, tenant_id) is None:
        raise Invalid("tenantId", "there is no such tenant")
    return tenant_id


async def _put(session: Session, user: User) -> None:
    try:
        async with session.begin_nested():
            session.add(user)
    except IntegrityError:
        raise Conflict("somebody has this address already") from None


async def _invite(session: Session, user: User) -> Invitation:
    made = Invitation(secrets.token_urlsafe(32), utc_now() + INVITED_FOR)
    await users.invite(session, user, token_hash(made.token), made.expires_at)
    return made


async def _record(
    session: Session, by: By, user: User, action: Action, **details: Any
) -> None:
    await audit.record(
        session,
        tenant_id=user.tenant_id,
        by=by,
        action=action,
        entity="user",
        entity_id=user.id,
        details=details,
    )
