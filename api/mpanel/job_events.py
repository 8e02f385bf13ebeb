"""/api/jobs/{id}/events and /api/operator/inbox/events: server-sent events."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header
from fastapi.sse import EventSourceResponse, ServerSentEvent

from api.deps import InProcess, Operator, Reader, StillThere
from api.feed import Watch
from api.limits import Kind, counted_as
from api.mpanel.inbox_shapes import GroupOut, GroupsOut, StandstillOut
from api.mpanel.jobs import JobOut, StepOut
from api.schemas import (
    ABOUT_ONE,
    SIGNED_IN,
    CamelModel,
    Id,
    beside_a_stream,
    failures,
)
from api.services import job_events, status
from api.services.job_events import Look, Seen
from api.services.status import Standstill
from models.database import Session
from models.queries.inbox import Group

router = APIRouter(tags=["events"])

LastId = Annotated[str | None, Header(alias="Last-Event-ID", max_length=64)]
_STREAMS = failures(429)


class StateOut(CamelModel):
    """The job and its whole timeline."""

    job: JobOut
    steps: list[StepOut]


async def _sight(parts: InProcess, actor: Reader) -> Look:
    def look() -> AbstractAsyncContextManager[Session]:
        return (
            parts.db.platform() if actor.platform else parts.db.tenant(actor.tenant_id)
        )

    return look


Sight = Annotated[Look, Depends(_sight)]


async def _stands(parts: InProcess) -> Callable[[], Awaitable[Standstill | None]]:
    """Asked anew for each event, and no connection is kept between two."""

    async def ask() -> Standstill | None:
        async with parts.db.platform() as session:
            return await status.standstill(session)

    return ask


Stands = Annotated[Callable[[], Awaitable[Standstill | None]], Depends(_stands)]


@dataclass(frozen=True)
class Opened:
    """An open ear, and what was there when it opened."""

    watch: Watch
    first: Seen


async def _opened(
    job_id: Id, parts: InProcess, actor: Reader, look: Sight
) -> AsyncIterator[Opened]:
    with parts.feed.watching(job_id, actor.id) as watch:
        # Read with the ear open, so nothing falls between; an unknown job is a 404.
        yield Opened(watch, await job_events.see(look, job_id))


async def _ear(parts: InProcess, actor: Operator) -> AsyncIterator[Watch]:
    with parts.feed.watching(None, actor.id) as watch:
        yield watch


JobWatch = Annotated[Opened, Depends(_opened)]
InboxWatch = Annotated[Watch, Depends(_ear)]


@router.get(
    "/jobs/{id}/events",
    response_class=EventSourceResponse,
    responses=beside_a_stream(ABOUT_ONE | _STREAMS),
)
@counted_as(Kind.POLL)
async def watch_job(
    opened: JobWatch,
    look: Sight,
    still_there: StillThere,
    last_event_id: LastId = None,
) -> AsyncIterator[ServerSentEvent]:
    """The job and its steps now, then whenever they change; `end` when it is over.

    A `state` event has the whole timeline. Its id is the state's: who comes back with
    it as `Last-Event-ID` is told only what is new.
    """
    first = last = opened.first
    if last_event_id != first.mark:
        yield _state(first)
    async for last in job_events.follow(look, first, opened.watch, still_there):
        yield _state(last)
    if last.final:
        yield ServerSentEvent(event="end", data={"status": str(last.job.status)})


@router.get(
    "/operator/inbox/events",
    response_class=EventSourceResponse,
    responses=beside_a_stream(SIGNED_IN | _STREAMS),
)
async def watch_inbox(
    _: Operator,
    watch: InboxWatch,
    look: Sight,
    stands: Stands,
    still_there: StillThere,
) -> AsyncIterator[ServerSentEvent]:
    """What waits for people, by cause, now and whenever that changes."""
    async for groups in job_events.follow_inbox(look, watch, still_there):
        told = _groups(groups, await stands())
        yield ServerSentEvent(event="inbox", data=_plain(told))


def _state(seen: Seen) -> ServerSentEvent:
    state = StateOut(
        job=JobOut.of(seen.job),
        steps=[StepOut.model_validate(step) for step in seen.steps],
    )
    return ServerSentEvent(event="state", id=seen.mark, data=_plain(state))


def _groups(groups: list[Group], still: Standstill | None) -> GroupsOut:
    return GroupsOut(
        items=[GroupOut.model_validate(one) for one in groups],
        total=sum(one.count for one in groups),
        standstill=StandstillOut.model_validate(still) if still else None,
    )


def _plain(shape: CamelModel) -> Any:
    return shape.model_dump(mode="json", by_alias=True)
