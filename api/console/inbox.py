"""/console/inbox: what waits, why, and the buttons that go on."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import Field, StringConstraints
from starlette.responses import RedirectResponse, Response

from api.auth.actor import Actor
from api.console import words
from api.console.forms import FormModel, Sent, filled
from api.console.pages import page
from api.console.same_site import same_site
from api.console.views import JobView
from api.console.visitors import HOME, Visitor, VisitorsRows
from api.deps import InProcess, Still
from api.errors import STATUSES
from api.parts import Parts
from api.schemas import Id
from api.services import inbox, second_factors
from api.services.inbox import Chosen, Detail, Ruling
from models.base import utc_now
from models.database import Session
from models.errors import DomainError, StepUpRequired, WrongCode, WrongState
from models.jobs import seen_hash
from models.queries import inbox as waiting
from models.queries.slices import Window
from models.states import Act

SHOWN: int = 10
PAGE: int = 50

router = APIRouter(
    prefix="/inbox", dependencies=[Depends(same_site)], include_in_schema=False
)

# Several lines are welcome; PostgreSQL stores no NUL.
Why = Annotated[
    str, StringConstraints(min_length=1, max_length=1000, pattern=r"^[^\x00]+$")
]
Cause = Annotated[str, Field(max_length=200)]


class DecisionForm(FormModel):
    """`seen`: of the job as the page showed it. `code`: of the authenticator app."""

    act: Act
    reason: Why
    seen: str = Field(max_length=64)
    step: str = Field(default="", max_length=200)
    code: str = Field(default="", max_length=64, pattern=r"^[A-Za-z0-9 -]*$")
    payment: str = Field(default="", max_length=255)


class BatchForm(FormModel):
    cause: Cause
    reason: Why


class ListQuery(FormModel):
    q: str = Field(default="", max_length=320)
    cause: Cause = ""
    page: int = Field(default=1, ge=1, le=100_000)
    decided: int | None = Field(default=None, ge=0, le=100_000)
    refused: int = Field(default=0, ge=0, le=100_000)
    left: int = Field(default=0, ge=0)


@router.get("")
async def show_inbox(
    query: Annotated[ListQuery, Query()],
    actor: Visitor,
    still: Still,
    rows: VisitorsRows,
) -> Response:
    """What waits, by cause; or what a word leads to."""
    if query.q:
        found = await inbox.find(rows, actor, query.q)
        return page("found.html", actor=actor, q=query.q, found=found, words=words)
    groups = await inbox.groups(rows)
    shown = [one for one in groups if query.cause in ("", one.cause.id)]
    window = Window((query.page - 1) * PAGE, PAGE) if query.cause else Window(0, SHOWN)
    parts = [
        (one, await waiting.entries(rows, window, signs=one.signs)) for one in shown
    ]
    return page(
        "inbox.html",
        actor=actor,
        parts=parts,
        total=sum(one.count for one in groups),
        standstill=still,
        query=query,
        page_size=PAGE,
        words=words,
    )


@router.post("/retry")
async def retry_all(sent: Sent, actor: Visitor, rows: VisitorsRows) -> Response:
    """Has everything of one cause tried again."""
    form = filled(BatchForm, sent)
    ruling = Ruling(Act.RETRY, form.reason)
    made = await inbox.decide(rows, actor, ruling, Chosen(cause=form.cause))
    refused = sum(one.refused is not None for one in made.outcomes)
    decided = len(made.outcomes) - refused
    told = f"decided={decided}&refused={refused}&left={made.left}"
    return RedirectResponse(f"{HOME}?{told}", 303)


@router.get("/{id}")
async def show_job(
    job_id: Id, actor: Visitor, rows: VisitorsRows, done: Act | None = None
) -> Response:
    """One job: why it waits, what exists, what each act would do."""
    return _shown(JobView(await inbox.detail(rows, job_id), actor, done=done))


@router.post("/{id}")
async def decide(
    job_id: Id, sent: Sent, actor: Visitor, rows: VisitorsRows, parts: InProcess
) -> Response:
    """Writes the decision down; or the page again, with what stood against it."""
    try:
        form = filled(DecisionForm, sent)
        detail = await inbox.detail(rows, job_id)
        if form.seen != seen_hash(detail.entry.job):
            raise WrongState("the job has changed meanwhile; this is how it stands now")
        actor = await _proven(parts, actor, form.code)
        await _decided(rows, actor, form, detail)
    except DomainError as refused:
        # What a refused decision has touched is not what stands in the rows.
        rows.expunge_all()
        await rows.rollback()
        view = JobView(
            await inbox.detail(rows, job_id), actor, refused=refused, typed=sent
        )
        return _shown(view, status=_status(refused))
    return RedirectResponse(f"{HOME}/{job_id}?done={form.act}", 303)


def _shown(view: JobView, *, status: int = 200) -> Response:
    return page("job.html", status=status, actor=view.actor, view=view, words=words)


async def _decided(
    rows: Session, actor: Actor, form: DecisionForm, detail: Detail
) -> None:
    correction = {"paymentIntentId": form.payment} if form.payment else {}
    ruling = Ruling(form.act, form.reason, form.step or None, correction)
    job_id = detail.entry.job.id
    made = await inbox.decide(rows, actor, ruling, Chosen(job_ids=[job_id]))
    [outcome] = made.outcomes
    if outcome.refused is not None:
        raise outcome.refused


async def _proven(parts: Parts, actor: Actor, code: str) -> Actor:
    """The same actor; with a second factor of this moment if there is a code."""
    if not code:
        return actor
    async with parts.db.platform() as rows:
        await second_factors.step_up(rows, parts.vault, actor, code=code)
    return replace(actor, second_factor_at=utc_now())


def _status(refused: DomainError) -> int:
    if isinstance(refused, StepUpRequired | WrongCode):
        return 403
    return next(STATUSES[kind] for kind in type(refused).__mro__ if kind in STATUSES)
