"""What a job delivers, whichever kind it is: its subject and the subscription."""

import calendar
from datetime import datetime
from uuid import UUID

from sqlmodel import select

from models.backups import BackupPlan
from models.base import utc_now
from models.cloudpods import CloudPod
from models.database import Session
from models.jobs import Job
from models.states import JobKind, ServiceStatus
from models.subscriptions import Subscription
from models.websites import Website

# Services in these states take up room and answer to their customers.
LIVING = (
    ServiceStatus.PENDING,
    ServiceStatus.PROVISIONING,
    ServiceStatus.ACTIVE,
    ServiceStatus.SUSPENDED,
    ServiceStatus.TERMINATING,
)


_OF_ACTIVE = (JobKind.WEBSITE_PROVISION, JobKind.CLOUDPOD_PROVISION)
_MONTHS = {"monthly": 1, "yearly": 12, "oneYear": 12, "twoYears": 24, "threeYears": 36}


async def fail_subject(session: Session, job: Job) -> None:
    """The line was undone or never begun: its subject and subscription say so.

    A website or a CloudPod that was asked for by itself, of a subscription that was
    active before, leaves that as it was.
    """
    subject: Website | CloudPod | BackupPlan | None
    if job.kind == JobKind.WEBSITE_PROVISION:
        subject = await session.get(Website, job.subject_id)
    elif job.kind == JobKind.CLOUDPOD_PROVISION:
        subject = await session.get(CloudPod, job.subject_id)
    else:
        subject = await session.get(BackupPlan, job.subject_id)
    if subject is None:
        return
    subscription = await session.get(Subscription, subject.subscription_id)
    if subject.status != ServiceStatus.TERMINATED:
        subject.fail()
    by_itself = job.parent_id is None and job.kind in _OF_ACTIVE
    if subscription is None or by_itself:
        return
    if subscription.status != ServiceStatus.TERMINATED:
        subscription.fail()


async def activate_subscription(session: Session, subscription_id: UUID) -> None:
    """The first period begins when the service is live."""
    subscription = await session.get_one(Subscription, subscription_id)
    now = utc_now()
    subscription.activate(now, renewal(now, subscription.billing_cycle))


def renewal(start: datetime, cycle: str) -> datetime:
    """When the period that begins at `start` ends: the same day of a later month."""
    months = _MONTHS[cycle]
    month = start.month - 1 + months
    year, month = start.year + month // 12, month % 12 + 1
    day = min(start.day, calendar.monthrange(year, month)[1])
    return start.replace(year=year, month=month, day=day)


async def plan_of(session: Session, website_id: UUID) -> BackupPlan | None:
    """The backup plan of a website, if it has one."""
    return (
        await session.exec(
            select(BackupPlan).where(BackupPlan.website_id == website_id)
        )
    ).one_or_none()
