"""A job's stream: what is, then what changes, as PostgreSQL tells it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import uuid4

import httpx
import pytest
from sqlmodel import delete

from api.services import job_events
from api.settings import ApiSettings
from models.base import utc_now
from models.database import Database
from models.jobs import Job
from models.sessions import LoginSession
from models.states import JobStatus, Reason, StepStatus
from models.users import Role
from tests.api import rows
from tests.api.live import SOON, Site, live
from workers.progress import StepLine, write


@dataclass
class Event:
    """One server-sent event."""

    event: str = ""
    id: str = ""
    data: dict = field(default_factory=dict)  # type: ignore[type-arg]


@pytest.fixture
async def site(settings: ApiSettings, db: Database) -> AsyncIterator[Site]:
    async with live(settings, db) as made:
        yield made


@contextlib.asynccontextmanager
async def opened(
    site: Site, path: str, token: str, **headers: str
) -> AsyncIterator["Stream"]:
    """An open stream; the answer's status is checked."""
    given = {"Authorization": f"Bearer {token}"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        httpx.AsyncClient(base_url=site.url, timeout=SOON, trust_env=False) as client,
        client.stream("GET", path, headers=given) as answer,
    ):
        assert answer.status_code == 200, await answer.aread()
        yield Stream(answer)


class Stream:
    """The events of an answer, as a browser would have them."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer, self._lines = answer, answer.aiter_lines()

    async def next(self) -> Event:
        """The next event; StopAsyncIteration at the end."""
        event = Event()
        async with asyncio.timeout(SOON):
            async for line in self._lines:
                name, _, value = line.partition(": ")
                if name == "data":
                    event.data = json.loads(value)
                elif name in ("event", "id"):
                    setattr(event, name, value)
                elif not line and event.event:
                    return event
        raise StopAsyncIteration

    async def until_step(self, name: str, status: str) -> Event:
        """The first state in which the step has this status."""
        while True:
            event = await self.next()
            found = {one["name"]: one["status"] for one in event.data["steps"]}
            if found.get(name) == status:
                return event

    async def ends(self) -> list[Event]:
        """Everything that still comes."""
        found = []
        with contextlib.suppress(StopAsyncIteration):
            while True:
                found.append(await self.next())
        return found


async def add_job(db: Database, status: JobStatus = JobStatus.RUNNING) -> Job:
    job = rows.job(status=status, started_generation=1)
    await rows.add(db, job)
    return job


async def line(db: Database, job: Job, name: str, status: StepStatus) -> None:
    """A line of the timeline, as a worker writes it."""
    now = utc_now()
    done = status in (StepStatus.SUCCEEDED, StepStatus.PARKED)
    await write(
        db,
        [
            StepLine(
                tenant_id=job.tenant_id,
                job_id=job.id,
                name=name,
                status=status,
                generation=1,
                scheduled_at=job.created_at,
                tried_at=now,
                phase=1 if done else 0,
                tries=1,
                started_at=now,
                ended_at=now if done else None,
            )
        ],
    )


async def become(db: Database, job: Job, status: JobStatus, **values: object) -> None:
    async with db.platform() as session:
        row = await session.get_one(Job, job.id)
        row.status = status
        for name, value in values.items():
            setattr(row, name, value)
        await session.commit()


async def test_a_stream_begins_with_what_is_and_tells_each_change_until_the_end(
    site: Site, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However late the last line comes here, it is waited for.
    monkeypatch.setattr(job_events, "LAST_LINES", SOON)
    job = await add_job(db)
    await line(db, job, "create_site", StepStatus.RUNNING)

    async with opened(
        site, f"/api/jobs/{job.id}/events", await site.token(Role.VIEWER)
    ) as stream:
        assert stream.answer.headers["content-type"].startswith("text/event-stream")
        first = await stream.next()
        assert (first.event, first.data["job"]["status"]) == ("state", "running")
        assert [one["name"] for one in first.data["steps"]] == ["create_site"]

        await line(db, job, "create_site", StepStatus.PARKED)
        await stream.until_step("create_site", "parked")
        await become(
            db,
            job,
            JobStatus.NEEDS_ATTENTION,
            reason=Reason.REJECTED,
            step="create_site",
        )
        while (told := await stream.next()).data["job"]["status"] == "running":
            pass
        assert told.data["job"]["reason"] == "provider_rejected"

        await become(db, job, JobStatus.RUNNING, reason=None, step=None)
        await become(db, job, JobStatus.SUCCEEDED, ended_at=utc_now())
        await line(db, job, "create_site", StepStatus.SUCCEEDED)
        *_, last, end = await stream.ends()

    assert last.data["job"]["status"] == "completed"
    assert [one["status"] for one in last.data["steps"]] == ["succeeded"]
    assert (end.event, end.data) == ("end", {"status": "succeeded"})


async def test_who_comes_back_with_the_last_id_is_told_only_what_is_new(
    site: Site, db: Database
) -> None:
    job, token = await add_job(db), await site.token(Role.VIEWER)
    await line(db, job, "place_website", StepStatus.RUNNING)
    path = f"/api/jobs/{job.id}/events"
    async with opened(site, path, token) as stream:
        seen = await stream.next()

    async with opened(site, path, token, Last_Event_ID=seen.id) as stream:
        await line(db, job, "place_website", StepStatus.SUCCEEDED)
        news = await stream.next()
    assert news.data["steps"][0]["status"] == "succeeded"
    assert news.id != seen.id

    async with opened(site, path, token, Last_Event_ID=seen.id) as stream:
        missed = await stream.next()
    assert missed == news


async def test_a_stream_ends_when_its_login_does(site: Site, db: Database) -> None:
    job, token = await add_job(db), await site.token(Role.VIEWER)

    async with opened(site, f"/api/jobs/{job.id}/events", token) as stream:
        await stream.next()
        async with db.platform() as session:
            await session.exec(delete(LoginSession))
            await session.commit()
        await line(db, job, "create_site", StepStatus.RUNNING)

        assert await stream.ends() == [], "told somebody who is not logged in any more"


async def test_streams_hold_no_connection_and_are_bounded(
    site: Site, db: Database
) -> None:
    job, token = await add_job(db), await site.token(Role.VIEWER)
    path = f"/api/jobs/{job.id}/events"

    async with contextlib.AsyncExitStack() as open_:
        streams = [
            await open_.enter_async_context(opened(site, path, token))
            for _ in range(20)
        ]
        for stream in streams:
            await stream.next()
        assert site.parts.feed.open == 20
        async with asyncio.timeout(SOON):
            # One may just be looking; what a stream held, it would hold for ever.
            while site.parts.db.engine.pool.checkedout():  # type: ignore[attr-defined]  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        async with httpx.AsyncClient(base_url=site.url, trust_env=False) as client:
            answer = await client.get(
                path, headers={"Authorization": f"Bearer {token}"}, timeout=SOON
            )
        assert answer.status_code == 429
        assert answer.headers["Retry-After"] == "10"
    async with asyncio.timeout(SOON):
        while site.parts.feed.open:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_what_is_not_in_sight_has_no_stream(site: Site, db: Database) -> None:
    job = await add_job(db)
    await rows.add(db, rows.other_tenant())
    stranger = await site.token(Role.OPERATOR, rows.OTHER)

    async with httpx.AsyncClient(base_url=site.url, trust_env=False) as client:
        for token, job_id, status in (
            (stranger, job.id, 404),
            (stranger, uuid4(), 404),
            ("bogus", job.id, 401),
        ):
            answer = await client.get(
                f"/api/jobs/{job_id}/events",
                headers={"Authorization": f"Bearer {token}"},
                timeout=SOON,
            )
            assert answer.status_code == status
    assert site.parts.feed.open == 0


async def test_open_streams_do_not_hold_up_the_end_of_the_process(
    site: Site, db: Database
) -> None:
    job, token = await add_job(db), await site.token(Role.VIEWER)

    async with opened(site, f"/api/jobs/{job.id}/events", token) as stream:
        await stream.next()
        site.server.handle_exit(15, None)

        assert await stream.ends() == []


async def test_the_inbox_tells_when_something_waits_and_when_it_does_not(
    site: Site, db: Database
) -> None:
    job, token = await add_job(db), await site.token(Role.OPERATOR)

    async with opened(site, "/api/operator/inbox/events", token) as stream:
        first = (await stream.next()).data
        assert (first["items"], first["total"]) == ([], 0)
        assert first["standstill"]["title"] == "No worker is up"
        await become(
            db,
            job,
            JobStatus.NEEDS_ATTENTION,
            reason=Reason.REJECTED,
            provider="hosting",
            error_class="rejected",
            error_code="disk_full",
        )
        told = await stream.next()
        assert told.data["total"] == 1
        assert told.data["items"][0]["cause"]["id"] == "hosting.rejected.disk_full"
        await become(db, job, JobStatus.RUNNING, reason=None)
        assert (await stream.next()).data["total"] == 0
