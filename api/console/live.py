"""/console/inbox/{id}/live: the parts of a job's page that have changed, as they do."""

import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import StreamingResponse

from api.auth.actor import Actor
from api.console.pages import HEADERS
from api.console.views import JobView
from api.console.visitors import Visitor, scope_of
from api.deps import InProcess, same_login
from api.feed import Watch
from api.parts import Parts
from api.schemas import Id
from api.services import inbox, job_events
from api.services.job_events import Seen
from models.database import Session

router = APIRouter(prefix="/inbox", include_in_schema=False)


@dataclass
class Onlooker:
    """One page that is open, and what it shows by now."""

    parts: Parts
    actor: Actor
    watch: Watch
    last: Seen
    shown: dict[str, str]

    def look(self) -> AbstractAsyncContextManager[Session]:
        """A session with the rows that the actor may see."""
        return scope_of(self.parts, self.actor)

    async def events(self) -> AsyncIterator[str]:
        """Changes until the job is over, the login has ended, or we must end."""
        yield f"retry: 1000\n\n{await self._changed()}"
        again = same_login(self.parts, self.actor)
        seen = job_events.follow(self.look, self.last, self.watch, again)
        async for self.last in seen:
            yield await self._changed()
        if self.last.final:
            yield _event("over", {})
        elif not self.watch.over:
            yield _event("gone", {})

    async def _changed(self) -> str:
        async with self.look() as rows:
            detail = await inbox.detail(rows, self.last.job.id)
        now = JobView(detail, self.actor).live()
        changed = {
            key: text for key, text in now.items() if self.shown.get(key) != text
        }
        self.shown = now
        return _event("message", changed)


async def _onlooker(
    job_id: Id, parts: InProcess, actor: Visitor
) -> AsyncIterator[Onlooker]:
    with parts.feed.watching(job_id, actor.id) as watch:
        # Read with the ear open, so nothing falls between; an unknown job is a 404.
        first = await job_events.see(lambda: scope_of(parts, actor), job_id)
        yield Onlooker(parts, actor, watch, first, {})


@router.get("/{id}/live")
async def stream(
    onlooker: Annotated[Onlooker, Depends(_onlooker)],
) -> StreamingResponse:
    """Server-sent events: `{id of the element: its new content}`. `over`: the job is;
    `gone`: the login is."""
    return StreamingResponse(
        onlooker.events(),
        media_type="text/event-stream",
        headers={**HEADERS, "X-Accel-Buffering": "no"},
    )


def _event(name: str, content: dict[str, str]) -> str:
    return f"event: {name}\ndata: {json.dumps(content)}\n\n"
