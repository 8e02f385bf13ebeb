"""Backups as people get them: bought, made every night, brought back, stopped."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4, uuid5

from sqlmodel import select
from temporalio.client import ScheduleOverlapPolicy

from models.backups import Backup, BackupPlan
from models.jobs import Job
from models.queries import backups
from models.states import BackupStatus, JobKind, JobStatus, Reason, ServiceStatus
from models.tenants import MIGRAHOSTING
from models.websites import Website
from tests.providers.test_cloudpanel import furnish, tree_of
from tests.world import World
from workflows.schedules import BackupSchedules, schedule_id

PRICE = 5498


async def test_put_again_a_schedule_is_still_one_and_stays_paused(here: World) -> None:
    schedules, website = BackupSchedules(here.client), uuid4()
    handle = here.client.get_schedule_handle(schedule_id(website))

    await schedules.put(website, MIGRAHOSTING)
    await handle.pause()
    await BackupSchedules(here.client).put(website, MIGRAHOSTING)

    standing = await handle.describe()
    assert standing.schedule.state.paused
    assert standing.schedule.policy.overlap == ScheduleOverlapPolicy.SKIP
    assert standing.schedule.policy.catchup_window == timedelta(hours=1)
    first, second = standing.info.next_action_times[:2]
    assert timedelta(hours=19) < second - first < timedelta(hours=29)
    assert await listed(here, website) == 1
    await schedules.remove(website)
    await schedules.remove(website)
    assert not await schedules.exists(website)


async def test_a_bought_backup_is_made_when_due_and_brings_the_site_back(
    here: World,
) -> None:
    website = await bought(here)
    furnish(docroot(here, website))
    before = tree_of(docroot(here, website))

    await here.client.get_schedule_handle(schedule_id(website.id)).trigger()
    backup = await stored(here, website)
    (docroot(here, website) / "big.bin").unlink()
    job = await here.ended(await asked(here, website, backup))

    assert job.status == JobStatus.SUCCEEDED
    assert tree_of(docroot(here, website)) == before
    at = (await due_at(here, website)).replace(microsecond=0)
    assert backup.job_id == uuid5(website.id, f"backup:{at.isoformat()}")


async def test_a_damaged_archive_parks_the_restore_with_the_reason(
    here: World,
) -> None:
    website = await bought(here)
    await run_now(here, website)
    backup = await stored(here, website)
    archive = here.providers.backup_store.tree / "backups" / backup.archive
    archive.write_bytes(archive.read_bytes()[:-1])

    job = await here.parked(await asked(here, website, backup))

    assert job.reason == Reason.REJECTED
    assert backup.archive in (job.message or "")


async def test_a_deleted_website_is_backed_up_no_more_and_its_archives_stay(
    here: World,
) -> None:
    website = await bought(here)
    await run_now(here, website)
    backup = await stored(here, website)

    job = await here.ended(await added(here, JobKind.WEBSITE_DELETE, website))

    assert job.status == JobStatus.SUCCEEDED
    assert not await BackupSchedules(here.client).exists(website.id)
    archive = here.providers.backup_store.tree / "backups" / backup.archive
    assert archive.exists()


async def bought(here: World) -> Website:
    """A live website with daily backups."""
    paid = await here.pay(PRICE)
    order = await here.order(customer=paid["customer"]["id"])
    assert (await here.ended(await here.job_of(order))).status == JobStatus.SUCCEEDED
    website = await here.website_of(order)
    [plan] = await rows(here, BackupPlan, website_id=website.id)
    assert plan.status == ServiceStatus.ACTIVE
    assert await BackupSchedules(here.client).exists(website.id)
    return website


async def run_now(here: World, website: Website) -> None:
    async with here.db.tenant(website.tenant_id) as session:
        await backups.request(session, website, job_id=uuid4(), requested_by=uuid4())
        await session.commit()


async def stored(here: World, website: Website) -> Backup:
    """The website's only backup, when its job has ended."""
    found = await here.until(
        lambda: rows(here, Backup, website_id=website.id),
        lambda all: [one.status for one in all] == [BackupStatus.STORED],
    )
    backup: Backup = found[0]
    job = await here.ended(await here.read(Job, backup.job_id))
    assert job.status == JobStatus.SUCCEEDED
    return backup


async def asked(here: World, website: Website, backup: Backup) -> Job:
    """The job that restores the backup."""
    return await added(here, JobKind.WEBSITE_RESTORE, website, backup_id=str(backup.id))


async def added(here: World, kind: JobKind, website: Website, **input: str) -> Job:
    job = Job(
        tenant_id=website.tenant_id, kind=kind, subject_id=website.id, input=input
    )
    async with here.db.tenant(website.tenant_id) as session:
        session.add(job)
        await session.commit()
    return job


async def rows(here: World, table: type[Any], **where: Any) -> Sequence[Any]:
    async with here.db.platform() as session:
        return (await session.exec(select(table).filter_by(**where))).all()


async def listed(here: World, website_id: UUID) -> int:
    """How many schedules of the website Temporal lists, once it lists any."""
    async with asyncio.timeout(30):
        while True:
            ids = [one.id async for one in await here.client.list_schedules()]
            if found := sum(str(website_id) in id for id in ids):
                return found
            await asyncio.sleep(0.1)


async def due_at(here: World, website: Website) -> datetime:
    """The time that the schedule meant by its last action."""
    handle = here.client.get_schedule_handle(schedule_id(website.id))
    return (await handle.describe()).info.recent_actions[-1].scheduled_at


def docroot(here: World, website: Website) -> Path:
    home = here.providers.hosting.tree / "home" / website.site_user
    path: Path = home / "htdocs" / website.domain
    return path
