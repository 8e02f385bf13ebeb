"""Who looks at a page: the login that the cookie names, as of this request."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Final
from urllib.parse import quote, urlsplit

from fastapi import Depends, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.auth.actor import Actor
from api.auth.demand import login_lasts
from api.auth.tokens import Claims
from api.callers import count, user_of
from api.deps import CalledFrom, InProcess
from api.limits import Kind
from api.parts import Parts
from models.database import Session
from models.errors import Denied, Unauthenticated
from models.queries.entries import Call
from models.users import Role, User

HOME: Final = "/console/inbox"
LOGIN: Final = "/console/login"
SECOND_FACTOR: Final = "/console/second-factor"
_DECIDE: Final = frozenset({Role.OPERATOR, Role.ADMIN, Role.SUPER_ADMIN})


async def _known(request: Request, parts: InProcess, origin: CalledFrom) -> Actor:
    try:
        claims = parts.signer.read_cookie(request.cookies[_cookie_name(parts)])
        call = Call(
            Kind.DEFAULT,
            origin.address,
            origin.network,
            claims.user_id,
            claims.session_id,
        )
        return user_of(parts, await count(request, parts, call))
    except (KeyError, Unauthenticated):
        raise HTTPException(
            303, "log in first", headers={"Location": _login_for(request)}
        ) from None


Known = Annotated[Actor, Depends(_known)]


async def _visitor(actor: Known) -> Actor:
    if actor.limited:
        raise HTTPException(
            303, "a second factor is missing", headers={"Location": SECOND_FACTOR}
        )
    if actor.roles.isdisjoint(_DECIDE):
        raise Denied("the console is for operators; ask an administrator for the role")
    return actor


# An operator with everything that is demanded of the login.
Visitor = Annotated[Actor, Depends(_visitor)]


def scope_of(parts: Parts, actor: Actor) -> AbstractAsyncContextManager[Session]:
    """A session with the rows that the actor may see."""
    return parts.db.platform() if actor.platform else parts.db.tenant(actor.tenant_id)


async def _rows(parts: InProcess, actor: Visitor) -> AsyncIterator[Session]:
    async with scope_of(parts, actor) as session:
        yield session


# Those of the visitor's tenant; every tenant's for a super_admin.
VisitorsRows = Annotated[Session, Depends(_rows, scope="function")]


def give_cookie(response: Response, parts: Parts, user: User, claims: Claims) -> None:
    """The browser holds it for as long as the login may last; scripts never see it."""
    lasts = login_lasts(user.roles)
    response.set_cookie(
        _cookie_name(parts),
        parts.signer.cookie(claims, lasts),
        max_age=int(lasts.total_seconds()),
        path="/",
        secure=_https(parts),
        httponly=True,
        samesite="lax",
    )


def take_cookie(response: Response, parts: Parts) -> None:
    """The browser forgets it."""
    response.delete_cookie(
        _cookie_name(parts),
        path="/",
        secure=_https(parts),
        httponly=True,
        samesite="lax",
    )


def own_page(address: str) -> str:
    """The address if it is a page of the console, else its first page."""
    parts = urlsplit(address)
    ours = parts.path.startswith("/console/") and not parts.scheme and not parts.netloc
    return address if ours and address.isascii() and address.isprintable() else HOME


def _login_for(request: Request) -> str:
    if request.method != "GET":
        return LOGIN
    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return f"{LOGIN}?next={quote(asked, safe='/')}"


def _https(parts: Parts) -> bool:
    return urlsplit(parts.settings.public_url).scheme == "https"


def _cookie_name(parts: Parts) -> str:
    # The prefix binds it to this host: no other one below our domain can set it.
    return "__Host-mpanel" if _https(parts) else "mpanel"
