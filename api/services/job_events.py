"""A job as it changes: first as it is, then each change, until it has ended.

Woken by a notification; every look is a short session in the caller's own sight.
"""

import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from api.feed import Watch
from models.database import Session
from models.errors import DomainError
from models.jobs import Job, JobStep
from models.queries import inbox, jobs
from models.queries.inbox import Group
from models.states import OPEN_JOBS, StepStatus

# How often a stream asks whether its login still lives, if nothing else happens.
LOOK_AGAIN: Final = 10.0
# A step's last line is written a moment after the job's end.
LAST_LINES: Final = 2.0
_UNDER_WAY: Final = (StepStatus.RUNNING, StepStatus.RETRYING, StepStatus.PARKED)

_OF_JOB: Final = ("generation", "status", "step", "reason", "message", "updated_at")
_OF_STEP: Final = (
    "name",
    "status",
    "tries",
    "generation",
    "started_at",
    "ended_at",
    "next_retry_at",
    "code",
    "message",
)

Look = Callable[[], AbstractAsyncContextManager[Session]]
# Raises a `DomainError` when the caller may not look any more.
Again = Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class Seen:
    """A job and its timeline at one moment."""

    job: Job
    steps: Sequence[JobStep]

    @property
    def mark(self) -> str:
        """The same for the same state: where a reader goes on after a lost line."""
        told = [[getattr(self.job, name) for name in _OF_JOB]]
        told += [[getattr(one, name) for name in _OF_STEP] for one in self.steps]
        return hashlib.sha256(repr(told).encode()).hexdigest()[:16]

    @property
    def final(self) -> bool:
        """Whether nothing happens to it any more."""
        return self.job.status not in OPEN_JOBS

    @property
    def complete(self) -> bool:
        """Whether the timeline has been written to its end."""
        return all(step.status not in _UNDER_WAY for step in self.steps)


async def see(look: Look, job_id: UUID) -> Seen:
    """The job now. Raises `NotFound`."""
    async with look() as session:
        job = await jobs.get(session, job_id)
        return Seen(job, await jobs.steps(session, job_id))


async def follow(
    look: Look, first: Seen, watch: Watch, still_there: Again
) -> AsyncIterator[Seen]:
    """Each state that differs from the last; ends with the job, or with the login."""
    seen, ended_at = first, time.monotonic()
    while not (seen.final and seen.complete) and not watch.over:
        if seen.final and time.monotonic() - ended_at > LAST_LINES:
            return
        changed = await watch.changed(within=LAST_LINES if seen.final else LOOK_AGAIN)
        if watch.over or not await _lives(still_there):
            return
        if changed or seen.final:
            now = await see(look, first.job.id)
            if now.final and not seen.final:
                ended_at = time.monotonic()
            if now.mark != seen.mark:
                yield now
            seen = now


async def follow_inbox(
    look: Look, watch: Watch, still_there: Again
) -> AsyncIterator[list[Group]]:
    """What waits, by cause, whenever that has changed; ends with the login."""
    seen: list[Group] | None = None
    while not watch.over and await _lives(still_there):
        async with look() as session:
            now = await inbox.groups(session)
        if now != seen:
            yield now
        seen = now
        while not watch.over and not await watch.changed(within=LOOK_AGAIN):
            if not await _lives(still_there):
                return


async def _lives(still_there: Again) -> bool:
    try:
        await still_there()
    except DomainError:
        return False
    return True
