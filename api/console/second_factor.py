"""/console/second-factor: an authenticator app, set up by whoever must have one."""

from typing import Any

import segno
from fastapi import APIRouter, Depends
from pydantic import Field
from starlette.responses import RedirectResponse, Response

from api.auth.actor import Actor
from api.console.forms import FormModel, Sent, filled
from api.console.pages import page
from api.console.same_site import same_site
from api.console.visitors import HOME, SECOND_FACTOR, Known
from api.deps import PlatformRows, Secrets
from api.services import second_factors
from models.database import Session
from models.errors import DomainError

router = APIRouter(
    prefix="/second-factor", dependencies=[Depends(same_site)], include_in_schema=False
)


class PasswordForm(FormModel):
    password: str = Field(min_length=1, max_length=1024)


class CodeForm(FormModel):
    code: str = Field(min_length=6, max_length=64, pattern=r"^[A-Za-z0-9 -]+$")


@router.get("")
async def show(actor: Known, rows: PlatformRows) -> Response:
    """What is to be done: set one up, or prove the one there is."""
    return await _shown(rows, actor)


@router.post("")
async def enrol(
    sent: Sent, actor: Known, rows: PlatformRows, vault: Secrets
) -> Response:
    """A secret for the app, as a picture and as letters."""
    try:
        form = filled(PasswordForm, sent)
        made = await second_factors.enrol(rows, vault, actor, password=form.password)
    except DomainError as refused:
        return await _shown(rows, actor, refused)
    picture = segno.make(made.otpauth_uri).svg_inline(omitsize=True, light="#fff")
    return _page(actor, stage="confirm", secret=made.secret, picture=picture)


@router.post("/confirm")
async def confirm(
    sent: Sent, actor: Known, rows: PlatformRows, vault: Secrets
) -> Response:
    """The app's first code; shows the recovery codes, once."""
    try:
        form = filled(CodeForm, sent)
        codes = await second_factors.confirm(rows, vault, actor, code=form.code)
    except DomainError as refused:
        return _page(actor, status=422, stage="confirm", error=refused.message)
    return _page(actor, stage="codes", codes=codes)


@router.post("/prove")
async def prove(
    sent: Sent, actor: Known, rows: PlatformRows, vault: Secrets
) -> Response:
    """A code of the app that is there already."""
    try:
        form = filled(CodeForm, sent)
        await second_factors.step_up(rows, vault, actor, code=form.code)
    except DomainError as refused:
        return await _shown(rows, actor, refused)
    return RedirectResponse(HOME, 303)


async def _shown(
    rows: Session, actor: Actor, refused: DomainError | None = None
) -> Response:
    standing = await second_factors.standing(rows, actor)
    if standing.enabled and not actor.limited:
        return RedirectResponse(HOME, 303)
    return _page(
        actor,
        status=422 if refused else 200,
        stage="prove" if standing.enabled else "password",
        error=refused.message if refused else "",
    )


def _page(actor: Actor, *, status: int = 200, stage: str, **facts: Any) -> Response:
    given = {"error": "", "secret": "", "picture": "", "codes": [], **facts}
    return page(
        "second_factor.html",
        status=status,
        actor=actor,
        stage=stage,
        here=SECOND_FACTOR,
        **given,
    )
