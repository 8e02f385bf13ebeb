"""Everything that is asked of backups: their jobs, their plans, their archives."""

from collections.abc import Sequence
from datetime import UTC
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select

from models.backups import Backup, BackupPlan
from models.base import utc_now
from models.database import Session
from models.errors import WrongState
from models.jobs import Job
from models.queries import jobs
from models.queries.slices import Slice, Window, by_id, page
from models.states import BackupStatus, JobKind, ServiceStatus
from models.websites import Website


async def request(
    session: Session, website: Website, *, job_id: UUID, requested_by: UUID | None
) -> Job:
    """The pending job that archives the website; nobody's request is batch work.

    Asked again with the same id, it is the same job. Raises `WrongState` unless the
    website is active, `Busy` if another open job holds it.
    """
    asked_before = await session.get(Job, job_id)
    if asked_before is not None:
        return asked_before
    if website.status != ServiceStatus.ACTIVE:
        raise WrongState(
            f"The website is {website.status}: only an active one is backed up",
            status=str(website.status),
        )
    job = Job(
        id=job_id,
        tenant_id=website.tenant_id,
        kind=JobKind.WEBSITE_BACKUP,
        subject_id=website.id,
        exclusive=True,
        batch=requested_by is None,
        requested_by=requested_by,
    )
    await jobs.add_exclusive(session, job)
    return job


async def active_plans(session: Session) -> Sequence[BackupPlan]:
    """The plans whose website must have its schedule."""
    return (
        await session.exec(
            select(BackupPlan).where(
                BackupPlan.status == ServiceStatus.ACTIVE,
                col(BackupPlan.website_id).is_not(None),
            )
        )
    ).all()


async def begin(session: Session, job: Job) -> Backup:
    """The backup that this job makes, locked; the same row at every repeat."""
    made_at = job.created_at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    await session.exec(
        insert(Backup)
        .values(
            Backup(
                tenant_id=job.tenant_id,
                website_id=job.subject_id,
                job_id=job.id,
                archive=f"{job.subject_id}/{made_at}-{str(job.id)[:8]}.tar.enc",
            ).model_dump()
        )
        .on_conflict_do_nothing(index_elements=["job_id"])
    )
    query = select(Backup).where(Backup.job_id == job.id).with_for_update()
    backup = (await session.exec(query)).one()
    if backup.status == BackupStatus.FAILED:
        backup.status, backup.sha256 = BackupStatus.RUNNING, ""
    return backup


async def get(session: Session, backup_id: UUID) -> Backup:
    """The backup. Raises `NotFound`."""
    return await by_id(session, Backup, backup_id)


async def find(session: Session, website_id: UUID, window: Window) -> Slice[Backup]:
    """Those of a website, newest first."""
    query = (
        select(Backup)
        .where(Backup.website_id == website_id)
        .order_by(col(Backup.created_at).desc(), col(Backup.id))
    )
    return await page(session, query, window)


async def of_job(session: Session, job_id: UUID) -> Backup | None:
    """The backup that the job has begun."""
    return (
        await session.exec(select(Backup).where(Backup.job_id == job_id))
    ).one_or_none()


async def expired(session: Session, *, limit: int) -> Sequence[Backup]:
    """Stored archives past their time, oldest first, also those of deleted websites."""
    return (
        await session.exec(
            select(Backup)
            .where(
                Backup.status == BackupStatus.STORED,
                col(Backup.expires_at) <= utc_now(),
            )
            .order_by(col(Backup.expires_at), col(Backup.id))
            .limit(limit)
        )
    ).all()
