"""What people ask of websites. Each is a job; one open job per website."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID, uuid4

from temporalio.client import Client

from api.auth.actor import Actor
from api.services.starting import announce, start_soon
from models.backups import Backup
from models.database import Session
from models.errors import Conflict, Invalid, NotFound, WrongState
from models.hosts import host_name
from models.jobs import Job
from models.queries import backups, customers, jobs, products, subscriptions, websites
from models.states import BackupStatus, JobKind, ServiceStatus
from models.websites import Website

_POSSIBLE_IN: Final[Mapping[JobKind, frozenset[ServiceStatus]]] = {
    JobKind.WEBSITE_DELETE: frozenset(
        {
            ServiceStatus.ACTIVE,
            ServiceStatus.SUSPENDED,
            ServiceStatus.FAILED,
            # An earlier removal was given up half-way.
            ServiceStatus.TERMINATING,
        }
    ),
    JobKind.WEBSITE_SUSPEND: frozenset({ServiceStatus.ACTIVE}),
    JobKind.WEBSITE_RESUME: frozenset({ServiceStatus.SUSPENDED}),
    JobKind.WEBSITE_RESTORE: frozenset({ServiceStatus.ACTIVE}),
}


async def create(
    session: Session,
    temporal: Client,
    actor: Actor,
    *,
    customer_id: UUID,
    subscription_id: UUID,
    domain: str,
    platform_domain: str,
) -> Website:
    """A pending website for a subscription that has none, and the job that builds it.

    Raises `NotFound`, `Invalid`, `WrongState` (subscription not active) or `Conflict`
    (it has a website, or the domain is in use).
    """
    name = host_name(domain, field="domain")
    if name == platform_domain or name.endswith(f".{platform_domain}"):
        raise Invalid("domain", f"names under {platform_domain} are given by us")
    customer = await customers.get(session, customer_id)
    # Locked, so that of two requests for one subscription the second sees the first.
    subscription = await subscriptions.get(session, subscription_id, lock=True)
    if subscription.customer_id != customer.id:
        raise Invalid("subscriptionId", "the subscription is another customer's")
    product = await products.get(session, subscription.product_id)
    if product.delivers.get("kind") != "website":
        raise Invalid("subscriptionId", f"{product.name} has no website")
    if subscription.status != ServiceStatus.ACTIVE:
        status = str(subscription.status)
        raise WrongState(f"the subscription is {status}, not active", status=status)
    in_use = await websites.living(
        session, subscription_id=subscription.id, domain=name
    )
    if in_use is not None:
        raise Conflict(
            "the subscription has a website, or the domain is in use",
            website_id=str(in_use.id),
            domain=in_use.domain,
        )
    website = Website(
        tenant_id=subscription.tenant_id,
        customer_id=customer.id,
        subscription_id=subscription.id,
        domain=name,
        site_kind=product.delivers.get("site", "php"),
        php_version=product.delivers.get("php", "8.4"),
    )
    session.add(website)
    await session.flush()
    job = _job(website, JobKind.WEBSITE_PROVISION, actor)
    await jobs.add_exclusive(session, job)
    await _go(session, temporal, job)
    return website


async def ask(
    session: Session,
    temporal: Client,
    actor: Actor,
    website_id: UUID,
    kind: JobKind,
) -> tuple[Website, Job]:
    """The job that deletes, suspends or resumes the website.

    Raises `NotFound`, `Busy` (another job of it is open) or `WrongState`.
    """
    website = await websites.get(session, website_id, lock=True)
    job = _job(website, kind, actor)
    await _add(session, website, job)
    await _go(session, temporal, job)
    return website, job


async def back_up(
    session: Session, temporal: Client, actor: Actor, website_id: UUID
) -> tuple[Website, Job]:
    """The job that archives the website now. Raises as `ask` does."""
    website = await websites.get(session, website_id, lock=True)
    job = await backups.request(session, website, job_id=uuid4(), requested_by=actor.id)
    await _go(session, temporal, job)
    return website, job


async def restore(
    session: Session,
    temporal: Client,
    actor: Actor,
    website_id: UUID,
    *,
    backup_id: UUID,
) -> tuple[Website, Job]:
    """The job that brings an archive back. Raises as `ask` does."""
    website = await websites.get(session, website_id, lock=True)
    backup: Backup = await backups.get(session, backup_id)
    if backup.website_id != website.id:
        raise NotFound(f"there is no backup {backup_id}")
    if backup.status != BackupStatus.STORED:
        status = str(backup.status)
        raise WrongState(f"the backup is {status}, not stored", status=status)
    job = _job(website, JobKind.WEBSITE_RESTORE, actor, {"backup_id": str(backup.id)})
    await _add(session, website, job)
    await _go(session, temporal, job)
    return website, job


def _job(
    website: Website, kind: JobKind, actor: Actor, given: dict[str, Any] | None = None
) -> Job:
    return Job(
        tenant_id=website.tenant_id,
        kind=kind,
        subject_id=website.id,
        input=given or {},
        requested_by=actor.id,
    )


async def _add(session: Session, website: Website, job: Job) -> None:
    """An open job is told before a wrong state: it is the reason for it."""
    await jobs.add_exclusive(session, job)
    if website.status not in _POSSIBLE_IN[JobKind(job.kind)]:
        status = str(website.status)
        raise WrongState(f"the website is {status}", status=status)


async def _go(session: Session, temporal: Client, job: Job) -> None:
    await announce(session)
    await session.commit()
    start_soon(temporal, job)
