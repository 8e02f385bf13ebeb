"""/api/auth: log in, renew, who am I, log out."""

from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import Field

from api.deps import InProcess, PlatformRows, SignedIn, Tokens
from api.schemas import CamelModel, failures
from api.services import auth
from models.errors import Unauthenticated
from models.queries import users

router = APIRouter(prefix="/auth", tags=["auth"])


class LoginIn(CamelModel):
    email: str = Field(min_length=3, max_length=254)
    password: str = Field(min_length=1, max_length=1024)


class UserOut(CamelModel):
    id: UUID
    name: str
    email: str
    roles: list[str]
    tenant_id: UUID


class LoginOut(CamelModel):
    token: str
    refresh_token: str
    user: UserOut


class RefreshIn(CamelModel):
    refresh_token: str = Field(min_length=1, max_length=1024)


class RefreshOut(CamelModel):
    """`refreshToken` replaces the one that was sent, which works once."""

    token: str
    refresh_token: str


class MeOut(UserOut):
    permissions: list[str]


@router.post("/login", responses=failures(400, 401, 429))
async def log_in(
    body: LoginIn, request: Request, rows: PlatformRows, parts: InProcess
) -> LoginOut:
    """Log in with e-mail address and password. Ten wrong ones a minute are enough."""
    where = request.client.host if request.client else ""
    with parts.guesses.of(f"{where} {body.email.lower()}"):
        user, given = await auth.log_in(
            rows, parts.signer, email=body.email, password=body.password, where=where
        )
    return LoginOut(
        token=given.access,
        refresh_token=given.refresh,
        user=UserOut.model_validate(user),
    )


@router.post("/refresh", responses=failures(400, 401))
async def refresh(body: RefreshIn, rows: PlatformRows, tokens: Tokens) -> RefreshOut:
    """Renew the token. A refresh token that is used twice ends the login."""
    given = await auth.renew(rows, tokens, body.refresh_token)
    return RefreshOut(token=given.access, refresh_token=given.refresh)


@router.get("/me", responses=failures(401))
async def me(actor: SignedIn, rows: PlatformRows) -> MeOut:
    """Who the token belongs to, and what they may do now."""
    user = await users.signed_in(rows, actor.id, actor.session_id)
    if user is None:
        raise Unauthenticated("the token is not valid, or not any more")
    return MeOut(
        id=actor.id,
        name=user.name,
        email=user.email,
        roles=sorted(actor.roles),
        tenant_id=actor.tenant_id,
        permissions=actor.permissions,
    )


@router.post("/logout", status_code=204, responses=failures(401))
async def log_out(actor: SignedIn, rows: PlatformRows) -> None:
    """End this login; its tokens stop working at once."""
    await auth.log_out(rows, actor)
