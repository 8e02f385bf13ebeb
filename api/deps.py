"""What routes ask for: rows in the caller's sight, Temporal, and who calls.

FastAPI solves a dependency anew wherever it is named, and each costs as much as a look
into the request: so most of them ask for nothing but the request.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from temporalio.client import Client

from api import idempotency
from api.auth.actor import Actor
from api.auth.origin import Origin
from api.auth.tokens import Signer
from api.callers import KEY_HEADER, READERS, enter, having, logged_in, signed_in, whose
from api.parts import Parts, origin_of, parts_of
from api.services import api_keys, status
from api.services.auth import Desk
from api.services.status import Standstill
from api.settings import ApiSettings
from models.database import Session
from models.errors import Unauthenticated
from models.queries import sessions
from models.queries.entries import Entered
from models.users import Role
from models.vault import Vault


async def _parts(request: Request) -> Parts:
    return parts_of(request)


async def _temporal(request: Request) -> Client:
    return parts_of(request).temporal


async def _signer(request: Request) -> Signer:
    return parts_of(request).signer


async def _vault(request: Request) -> Vault:
    return parts_of(request).vault


async def _desk(request: Request) -> Desk:
    parts = parts_of(request)
    return Desk(parts.signer, parts.vault, parts.settings.second_factor)


async def _origin(request: Request) -> Origin:
    return origin_of(request)


async def _settings(request: Request) -> ApiSettings:
    return parts_of(request).settings


InProcess = Annotated[Parts, Depends(_parts)]
Temporal = Annotated[Client, Depends(_temporal)]
Tokens = Annotated[Signer, Depends(_signer)]
Settings = Annotated[ApiSettings, Depends(_settings)]
Secrets = Annotated[Vault, Depends(_vault)]
LoginDesk = Annotated[Desk, Depends(_desk)]
CalledFrom = Annotated[Origin, Depends(_origin)]


async def _platform_rows(request: Request) -> AsyncIterator[Session]:
    async with parts_of(request).db.platform() as session:
        yield session


# For calls that nobody has logged in for: login itself, signed webhooks.
PlatformRows = Annotated[Session, Depends(_platform_rows, scope="function")]


async def _still(request: Request) -> Standstill | None:
    """Which worker lives is the platform's to see, and everybody's to know. Its
    connection is back before the caller's rows want one."""
    async with parts_of(request).db.platform() as session:
        return await status.standstill(session)


Still = Annotated[Standstill | None, Depends(_still)]

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


async def entry(request: Request) -> Entered:
    """As `enter`, for every route."""
    return await enter(request)


Entry = Annotated[Entered, Depends(entry)]


async def _logged_in(request: Request, entered: Entry, _: Bearer) -> Actor:
    return logged_in(request, entered)


# For what a login may do before its second factor is set up or proven.
AnySession = Annotated[Actor, Depends(_logged_in)]


async def _signed_in(actor: AnySession) -> Actor:
    return signed_in(actor)


# People alone: what belongs to a login.
SignedIn = Annotated[Actor, Depends(_signed_in)]


async def _caller(request: Request, entered: Entry, _: Bearer, __: ApiKey) -> Actor:
    return await whose(request, entered)


Caller = Annotated[Actor, Depends(_caller)]


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


def _having(roles: frozenset[Role]) -> Callable[[Actor], Awaitable[Actor]]:
    async def check(actor: Caller) -> Actor:
        return having(actor, roles)

    return check


Reader = Annotated[Actor, Depends(_having(READERS))]
Operator = Annotated[Actor, Depends(_having(READERS - {Role.VIEWER}))]
Admin = Annotated[Actor, Depends(_having(frozenset({Role.ADMIN})))]
Platform = Annotated[Actor, Depends(_having(frozenset()))]


async def rows_in_sight(request: Request, actor: Caller) -> AsyncIterator[Session]:
    """A session of the caller's; under an Idempotency-Key, one that repeats safely."""
    parts = parts_of(request)
    if idempotency.keyed(request):
        async with idempotency.once(request, parts.db, parts.vault, actor) as session:
            yield session
        return
    scope = parts.db.platform() if actor.platform else parts.db.tenant(actor.tenant_id)
    async with scope as session:
        yield session


# Those of the caller's tenant; every tenant's for a super_admin.
Rows = Annotated[Session, Depends(rows_in_sight, scope="function")]
