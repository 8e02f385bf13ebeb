"""/api/auth: log in, renew, who am I, log out."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field, StringConstraints

from api.deps import AnySession, CalledFrom, LoginDesk, PlatformRows, Tokens
from api.limits import Kind, counted_as
from api.schemas import CamelModel, failures
from api.services import auth
from api.services.auth import Credentials
from api.services.refresh import renew
from models.users import User

router = APIRouter(prefix="/auth", tags=["auth"])

# Six digits of an app, or a recovery code; spaces and hyphens do not matter.
Code = Annotated[
    str, StringConstraints(min_length=6, max_length=64, pattern=r"^[A-Za-z0-9 -]+$")
]


class LoginIn(CamelModel):
    """`code`: of the authenticator app or a recovery code, once one is set up."""

    email: str = Field(min_length=3, max_length=254)
    password: str = Field(min_length=1, max_length=1024)
    code: Code | None = None


class UserOut(CamelModel):
    id: UUID
    name: str
    email: str
    roles: list[str]
    tenant_id: UUID


class LoginOut(CamelModel):
    """`limited`: it may do nothing yet but set up a second factor."""

    token: str
    refresh_token: str
    user: UserOut
    limited: bool


class RefreshIn(CamelModel):
    refresh_token: str = Field(min_length=1, max_length=1024)


class RefreshOut(CamelModel):
    """`refreshToken` replaces the one that was sent, which works once."""

    token: str
    refresh_token: str


class MeOut(UserOut):
    permissions: list[str]


@router.post("/login", responses=failures(400, 401, 413, 429))
@counted_as(Kind.LOGIN)
async def log_in(
    body: LoginIn, origin: CalledFrom, rows: PlatformRows, desk: LoginDesk
) -> LoginOut:
    """Log in with e-mail address and password, and a code where one is set up.

    After five failures an account answers 429 for 1, 2, 4 ... seconds, up to a
    quarter of an hour.
    """
    given = Credentials(body.email, body.password, body.code)
    login = await auth.log_in(rows, desk, given, origin)
    return LoginOut(
        token=login.tokens.access,
        refresh_token=login.tokens.refresh,
        user=UserOut.model_validate(login.user),
        limited=login.limited,
    )


@router.post("/refresh", responses=failures(400, 401, 413))
async def refresh(
    body: RefreshIn, origin: CalledFrom, rows: PlatformRows, tokens: Tokens
) -> RefreshOut:
    """Renew the token. A refresh token that is used twice ends the login.

    A client whose answer was lost may send the old one again within ten seconds;
    whatever it was given before is void then.
    """
    given = await renew(rows, tokens, body.refresh_token, origin)
    return RefreshOut(token=given.access, refresh_token=given.refresh)


@router.get("/me", responses=failures(401))
async def me(actor: AnySession, rows: PlatformRows) -> MeOut:
    """Who the token belongs to, and what they may do now."""
    user = await rows.get_one(User, actor.id)
    return MeOut(
        id=actor.id,
        name=user.name,
        email=user.email,
        roles=sorted(actor.roles),
        tenant_id=actor.tenant_id,
        permissions=actor.permissions,
    )


@router.post("/logout", status_code=204, responses=failures(401))
async def log_out(actor: AnySession, rows: PlatformRows) -> None:
    """End this login; its tokens stop working at once."""
    await auth.log_out(rows, actor)
