"""What routes ask for: rows in the caller's sight, Temporal, and who calls."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from temporalio.client import Client

from api import idempotency
from api.auth.actor import Actor
from api.auth.origin import Origin
from api.auth.tokens import Signer
from api.feed import Feed
from api.limits import BY_KEY, BY_TOKEN, Kind, Quota, kind_of
from api.refusals import Refusals, Refused
from api.services import api_keys
from api.services.auth import Desk
from api.settings import ApiSettings
from models.api_keys import Scope, key_hash
from models.audit import Action
from models.database import Database, Session
from models.direct import Direct
from models.errors import Denied, KeyInBrowser, SessionLimited, Unauthenticated
from models.logs import about
from models.queries import entries, sessions
from models.queries.entries import Call, Entered
from models.users import Role
from models.vault import Vault

# Headers that no page can keep a browser from sending.
_OF_BROWSERS = {"origin", "sec-fetch-site"}
KEY_HEADER = "X-API-Key"


@dataclass(frozen=True)
class Parts:
    """What one web process is made of; lives as long as the app."""

    settings: ApiSettings
    db: Database
    direct: Direct
    vault: Vault
    temporal: Client
    signer: Signer
    refusals: Refusals
    feed: Feed
    began: float = field(default_factory=time.monotonic)

    @property
    def uptime(self) -> int:
        """Whole seconds since the start."""
        return int(time.monotonic() - self.began)


async def parts(request: Request) -> Parts:
    """Those of the running app."""
    found: Parts = request.app.state.parts
    return found


InProcess = Annotated[Parts, Depends(parts)]


async def _temporal(parts: InProcess) -> Client:
    return parts.temporal


async def _signer(parts: InProcess) -> Signer:
    return parts.signer


async def _vault(parts: InProcess) -> Vault:
    return parts.vault


async def _desk(parts: InProcess) -> Desk:
    return Desk(parts.signer, parts.vault, parts.settings.second_factor)


async def _origin(request: Request) -> Origin:
    address = request.client.host if request.client else ""
    return Origin.of(address, request.headers.get("user-agent", ""))


async def _settings(parts: InProcess) -> ApiSettings:
    return parts.settings


Temporal = Annotated[Client, Depends(_temporal)]
Tokens = Annotated[Signer, Depends(_signer)]
Settings = Annotated[ApiSettings, Depends(_settings)]
Secrets = Annotated[Vault, Depends(_vault)]
LoginDesk = Annotated[Desk, Depends(_desk)]
CalledFrom = Annotated[Origin, Depends(_origin)]


async def _platform_rows(parts: InProcess) -> AsyncIterator[Session]:
    async with parts.db.platform() as session:
        yield session


# For calls that nobody has logged in for: login itself, signed webhooks.
PlatformRows = Annotated[Session, Depends(_platform_rows, scope="function")]

Bearer = Annotated[
    HTTPAuthorizationCredentials | None,
    Depends(HTTPBearer(auto_error=False, description="The `token` of a login.")),
]
ApiKey = Annotated[
    str | None,
    Depends(
        APIKeyHeader(
            name=KEY_HEADER,
            auto_error=False,
            description="A key of POST /api/api-keys, in place of a login. Never in a"
            " browser.",
        )
    ),
]


async def enter(
    request: Request, parts: InProcess, origin: CalledFrom, bearer: Bearer
) -> Entered:
    """Asked once for every call, before all else: is it one too many, and whose is it?

    Raises `TooMany`.
    """
    kind = kind_of(request.scope)
    call = Call(kind, origin.address, origin.network)
    if bearer is not None and kind in BY_TOKEN:
        with suppress(Unauthenticated):
            claims = parts.signer.read(bearer.credentials)
            call = replace(call, user_id=claims.user_id, session_id=claims.session_id)
    # Not as a parameter: the document would say that every call takes a key.
    if kind in BY_KEY and (key := request.headers.get(KEY_HEADER)):
        call = replace(call, key_hash=key_hash(key))
    return await count(request, parts, call)


async def count(request: Request, parts: Parts, call: Call) -> Entered:
    """Counts the call, and tells whose it is. Raises `TooMany`."""
    kind = Kind(call.kind)
    entered = await entries.enter(parts.direct, call)
    if entered.key is None or Scope.UNLIMITED not in entered.key.scopes:
        Quota(kind, parts.settings.calls_a_minute(kind), entered).spend(request.scope)
    return entered


Entry = Annotated[Entered, Depends(enter)]


async def logged_in(parts: InProcess, entered: Entry, bearer: Bearer) -> Actor:
    """Whoever the bearer token names, with the roles of this moment."""
    if bearer is None:
        raise Unauthenticated("send `Authorization: Bearer <token>`")
    return user_of(parts, entered)


def user_of(parts: Parts, entered: Entered) -> Actor:
    """Whose login it is. Raises `Unauthenticated` if that has ended."""
    if entered.user is None:
        raise Unauthenticated("the token is not valid, or not any more")
    user = entered.user
    about(tenant_id=user.tenant_id, caller=f"user:{user.id}")
    roles = frozenset(Role(role) for role in user.roles if role in list(Role))
    return Actor(
        "user",
        user.id,
        user.tenant_id,
        roles,
        user.email,
        user.session_id,
        user.second_factor_at,
        parts.settings.second_factor.of(roles),
    )


# For what a login may do before its second factor is set up or proven.
AnySession = Annotated[Actor, Depends(logged_in)]


async def signed_in(actor: AnySession) -> Actor:
    """A login with everything that is demanded of it."""
    if actor.limited:
        raise SessionLimited(
            "a second factor is demanded: prove it by POST /api/auth/step-up, or set"
            " one up by POST /api/auth/totp",
            call="POST /api/auth/step-up",
            enrol="POST /api/auth/totp",
        )
    return actor


# People alone: what belongs to a login.
SignedIn = Annotated[Actor, Depends(signed_in)]


async def key_holder(request: Request, parts: InProcess, entered: Entry) -> Actor:
    """The program that the key was given to. Raises `KeyInBrowser`: everybody who
    opens the page has it."""
    if entered.key is None:
        raise Unauthenticated("the API key is not valid, or not any more")
    actor = api_keys.holder(entered.key, parts.settings.second_factor)
    about(tenant_id=actor.tenant_id, caller=f"key:{actor.id}")
    if _OF_BROWSERS & set(request.headers):
        of_it = ("api_key", str(actor.id), "sent by a browser")
        told = Refused(actor.tenant_id, actor.by, Action.KEY_USED_IN_BROWSER, *of_it)
        await parts.refusals.count(told)
        raise KeyInBrowser(
            "an API key in a browser is known to everybody who opens the page: call"
            " from a server, and revoke this key"
        )
    return actor


async def caller(
    request: Request, parts: InProcess, entered: Entry, key: ApiKey, bearer: Bearer
) -> Actor:
    """A person by their login, or a program by its key."""
    if key is None:
        return await signed_in(await logged_in(parts, entered, bearer))
    if bearer is not None:
        raise Unauthenticated("send a bearer token or X-API-Key, not both")
    return await key_holder(request, parts, entered)


Caller = Annotated[Actor, Depends(caller)]


Again = Callable[[], Awaitable[None]]


def same_login(parts: Parts, actor: Actor) -> Again:
    """Asks whether the actor may do what it might. Raises `Unauthenticated`."""

    async def ask() -> None:
        async with parts.db.platform() as session:
            roles: frozenset[str] | None
            if actor.kind == "api_key":
                roles = await api_keys.roles_of(session, actor.id)
            else:
                roles = await sessions.roles_of(session, actor.id, actor.session_id)
        if roles != actor.roles:
            raise Unauthenticated("the login has ended, or its roles have changed")

    return ask


async def _again(parts: InProcess, actor: Caller) -> Again:
    return same_login(parts, actor)


# For answers that take long: raises when the login that began it is not what it was.
StillThere = Annotated[Again, Depends(_again)]


def _having(*roles: Role) -> Callable[[Actor], Awaitable[Actor]]:
    """Lets in who has one of the roles; super_admin always."""
    allowed = {Role.SUPER_ADMIN, *roles}

    async def check(actor: Caller) -> Actor:
        if not actor.roles & allowed:
            needed = ", ".join(sorted(allowed))
            raise Denied(f"this needs one of the roles {needed}")
        return actor

    return check


Reader = Annotated[Actor, Depends(_having(Role.VIEWER, Role.OPERATOR, Role.ADMIN))]
Operator = Annotated[Actor, Depends(_having(Role.OPERATOR, Role.ADMIN))]
Admin = Annotated[Actor, Depends(_having(Role.ADMIN))]
Platform = Annotated[Actor, Depends(_having())]


async def rows_in_sight(
    request: Request, parts: InProcess, actor: Caller
) -> AsyncIterator[Session]:
    """A session of the caller's; under an Idempotency-Key, one that repeats safely."""
    if idempotency.keyed(request):
        async with idempotency.once(request, parts.db, parts.vault, actor) as session:
            yield session
        return
    scope = parts.db.platform() if actor.platform else parts.db.tenant(actor.tenant_id)
    async with scope as session:
        yield session


# Those of the caller's tenant; every tenant's for a super_admin.
Rows = Annotated[Session, Depends(rows_in_sight, scope="function")]
