"""/console, /console/login and /console/logout."""

from fastapi import APIRouter, Depends
from pydantic import Field
from starlette.responses import RedirectResponse, Response

from api.auth.tokens import Claims
from api.console.forms import FormModel, Sent, filled
from api.console.pages import page
from api.console.same_site import same_site
from api.console.visitors import (
    HOME,
    LOGIN,
    SECOND_FACTOR,
    Known,
    give_cookie,
    own_page,
    take_cookie,
)
from api.deps import CalledFrom, InProcess, LoginDesk, PlatformRows, entry
from api.limits import Kind, counted_as
from api.services import auth
from api.services.auth import Credentials
from models.errors import (
    DomainError,
    Invalid,
    SecondFactorMissing,
    TooMany,
    Unauthenticated,
    WrongCode,
)

router = APIRouter(dependencies=[Depends(same_site)], include_in_schema=False)


class LoginForm(FormModel):
    email: str = Field(min_length=3, max_length=254)
    # As it was typed, spaces and all.
    password: str = Field(min_length=1, max_length=1024)
    code: str = Field(default="", max_length=64, pattern=r"^[A-Za-z0-9 -]*$")
    next: str = Field(default=HOME, max_length=2000)


@router.get("")
async def home() -> Response:
    """The first page."""
    return RedirectResponse(HOME, 303)


@router.get("/login")
async def show_login(next: str = HOME) -> Response:
    """The form."""
    return _form(next=own_page(next))


@router.post("/login", dependencies=[Depends(entry)])
@counted_as(Kind.LOGIN)
async def log_in(
    sent: Sent,
    origin: CalledFrom,
    rows: PlatformRows,
    desk: LoginDesk,
    parts: InProcess,
) -> Response:
    """In, or the form again with what was wrong."""
    to = own_page(sent.get("next", HOME))
    try:
        form = filled(LoginForm, sent)
        given = Credentials(form.email, sent["password"], form.code or None)
        login = await auth.log_in(rows, desk, given, origin)
    except (Unauthenticated, TooMany, Invalid) as refused:
        return _again(refused, next=to, email=sent.get("email", "")[:254])
    answer = RedirectResponse(SECOND_FACTOR if login.limited else to, 303)
    give_cookie(answer, parts, login.user, Claims(login.user.id, login.session_id))
    return answer


@router.post("/logout")
async def log_out(actor: Known, rows: PlatformRows, parts: InProcess) -> Response:
    """Out: this login ends everywhere."""
    await auth.log_out(rows, actor)
    answer = RedirectResponse(f"{LOGIN}?out=1", 303)
    take_cookie(answer, parts)
    return answer


def _again(refused: DomainError, *, next: str, email: str) -> Response:
    asks = isinstance(refused, SecondFactorMissing | WrongCode)
    said = refused.message.capitalize() + "."
    if isinstance(refused, SecondFactorMissing):
        said = ""
    status = 429 if isinstance(refused, TooMany) else 401
    if isinstance(refused, Invalid):
        status, said = 422, "E-mail address or password is missing or too long."
    return _form(status=status, next=next, email=email, error=said, asks_code=asks)


def _form(
    *,
    next: str,
    status: int = 200,
    email: str = "",
    error: str = "",
    asks_code: bool = False,
) -> Response:
    return page(
        "login.html",
        status=status,
        actor=None,
        next=next,
        email=email,
        error=error,
        asks_code=asks_code,
    )
