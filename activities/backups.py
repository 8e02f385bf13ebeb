"""Backups of websites: the daily schedule, the archive, its end, the way back."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import BinaryIO, Protocol
from uuid import UUID, uuid5

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.archives import ArchiveStore, SealedArchives
from activities.calls import StepCall
from activities.effects import EffectLedger
from activities.errors import GiveUp, NotYet, ProviderDown
from activities.store import Store, finish
from activities.websites import Probe
from models.backups import Backup, BackupPlan
from models.base import utc_now
from models.database import Session
from models.errors import Busy, WrongState
from models.queries import backups, services
from models.servers import Server
from models.states import BackupStatus, EffectState, JobStatus, Reason, ServiceStatus
from models.subscriptions import Subscription
from models.vault import Vault
from models.websites import Website

PROVIDER = "temporal"

_BUSY_FOR = timedelta(minutes=1)
_KEPT_DAYS = 30
_EXPIRED_AT_ONCE = 100


@dataclass(frozen=True)
class Daily:
    """What a schedule says: this website is due."""

    tenant_id: UUID
    website_id: UUID


@dataclass(frozen=True)
class TickCall:
    """`at`: the time that the schedule meant, however late it is now."""

    tenant_id: UUID
    website_id: UUID
    at: datetime


class Schedules(Protocol):
    """One daily schedule per website."""

    async def put(self, website_id: UUID, tenant_id: UUID) -> str: ...

    async def exists(self, website_id: UUID) -> bool: ...

    async def remove(self, website_id: UUID) -> None: ...


class SiteFiles(Protocol):
    """The content of the sites of one server, as a tar stream."""

    async def archive(self, *, site_user: str, domain: str, to: BinaryIO) -> None: ...

    async def unpack(
        self, *, site_user: str, domain: str, archive: BinaryIO
    ) -> None: ...


class HostingServers(Protocol):
    """The client of each server, made once."""

    def of(self, server: Server) -> SiteFiles: ...


class BackupActivities:
    """`subject_id` of a call is the website; of `*_schedule`, the backup plan."""

    def __init__(
        self,
        store: Store,
        effects: EffectLedger,
        vault: Vault,
        servers: HostingServers,
        archives: ArchiveStore,
        schedules: Schedules,
        probe: Probe,
    ) -> None:
        self._store, self._effects = store, effects
        self._archives = SealedArchives(store, effects, vault, archives)
        self._servers, self._schedules, self._probe = servers, schedules, probe

    @activity.defn
    async def enable_schedule(self, call: StepCall) -> None:
        """The daily schedule of the plan's website; repeated, it is the same one."""
        async with self._store.step(call) as (session, _):
            website = await _begun(session, call.subject_id)
            effect = await self._effects.intend(
                session,
                call,
                owner_id=call.subject_id,
                provider=PROVIDER,
                kind="schedule",
                reference=str(call.subject_id),
                facts={"website_id": str(website.id)},
            )
            await session.commit()
        remote_id = await self._schedules.put(website.id, website.tenant_id)
        await self._effects.present(effect, remote_id=remote_id)

    @activity.defn
    async def disable_schedule(self, call: StepCall) -> None:
        """The undo: no schedule; the plan and its subscription have failed."""
        await self._unschedule(call, call.subject_id)
        async with self._store.step(call) as (session, job):
            await services.fail_subject(session, job)
            await session.commit()

    @activity.defn
    async def confirm_schedule(self, call: StepCall) -> None:
        """Reads the schedule back, and only then calls the plan active."""
        async with self._store.step(call) as (session, job):
            plan = await session.get_one(BackupPlan, call.subject_id)
            await session.commit()
        if job.status == JobStatus.SUCCEEDED:
            return  # an earlier try did it; the plan may have been ended since
        if plan.website_id is None or not await self._schedules.exists(plan.website_id):
            raise ProviderDown(PROVIDER, "the schedule is not there")
        async with self._store.step(call) as (session, job):
            plan = await session.get_one(BackupPlan, call.subject_id)
            plan.activate()
            await services.activate_subscription(session, plan.subscription_id)
            finish(job)
            await session.commit()

    @activity.defn
    async def stop_backups(self, call: StepCall) -> None:
        """No more backups of this website; its archives stay until they expire."""
        async with self._store.step(call) as (session, _):
            plan = await services.plan_of(session, call.subject_id)
            await session.commit()
        if plan is not None:
            await self._unschedule(call, plan.id)

    @activity.defn
    async def request_backup(self, tick: TickCall) -> None:
        """The job of a due backup. The sweep starts it; a repeat adds none.

        A website that is not active is passed over; a busy one is asked again.
        """
        job_id = uuid5(tick.website_id, f"backup:{tick.at.isoformat()}")
        async with self._store.tenant(tick.tenant_id) as session:
            website = await session.get_one(Website, tick.website_id)
            try:
                await backups.request(
                    session, website, job_id=job_id, requested_by=None
                )
            except WrongState:
                return
            except Busy as busy:
                raise ApplicationError(
                    busy.message,
                    type=busy.code,
                    next_retry_delay=_BUSY_FOR,
                    category=ApplicationErrorCategory.BENIGN,
                ) from None
            await session.commit()

    @activity.defn
    async def archive_site(self, call: StepCall) -> None:
        """The site's files at the store; repeated, it is the same archive."""
        website, server = await self._store.placed(call)
        async with self._store.step(call) as (session, job):
            backup = await backups.begin(session, job)
            await session.commit()

        async def fill(to: BinaryIO) -> None:
            await self._servers.of(server).archive(
                site_user=website.site_user, domain=website.domain, to=to
            )

        await self._archives.make(call, backup, fill)

    @activity.defn
    async def remove_archive(self, call: StepCall) -> None:
        """The undo: nothing at the store, and the backup has failed."""
        async with self._store.step(call) as (session, _):
            backup = await backups.of_job(session, call.job_id)
            await session.commit()
        if backup is not None and backup.status != BackupStatus.EXPIRED:
            await self._end(call, backup, BackupStatus.FAILED)

    @activity.defn
    async def keep_backup(self, call: StepCall) -> bool:
        """Calls the backup stored if its archive reads back as it was sealed.

        False: it does not, and must be made again. That happens when an earlier try,
        believed dead, wrote its own archive last.
        """
        async with self._store.step(call) as (session, _):
            backup = await backups.of_job(session, call.job_id)
            plan = await services.plan_of(session, call.subject_id)
            await session.commit()
        if backup is None or not await self._archives.stands(backup):
            return False
        days = plan.days if plan is not None else _KEPT_DAYS
        async with self._store.step(call) as (session, _):
            row = await session.get_one(Backup, backup.id, with_for_update=True)
            if row.status == BackupStatus.RUNNING:
                row.status, row.stored_at = BackupStatus.STORED, utc_now()
                row.expires_at = row.stored_at + timedelta(days=days)
            await session.commit()
        return True

    @activity.defn
    async def expire_backups(self, call: StepCall) -> None:
        """Deletes what is past its time, the tenant's other and former sites' too."""
        async with self._store.step(call) as (session, _):
            due = await backups.expired(session, limit=_EXPIRED_AT_ONCE)
            await session.commit()
        for backup in due:
            await self._end(call, backup, BackupStatus.EXPIRED)
        async with self._store.step(call) as (session, job):
            finish(job)
            await session.commit()

    @activity.defn
    async def restore_site(self, call: StepCall) -> None:
        """Makes the site's files those of the archive, by one switch at the end.

        Nothing of the site is touched before the archive was found whole.
        """
        website, server = await self._store.placed(call)
        backup = await self._chosen(call)
        async with self._archives.opened(backup) as content:
            await self._servers.of(server).unpack(
                site_user=website.site_user, domain=website.domain, archive=content
            )

    @activity.defn
    async def probe_restored(self, call: StepCall) -> None:
        """Looks at the restored site from outside: anything but a server error."""
        found = await self._store.placed_unless_done(call)
        if found is None:
            return
        website, server = found
        page = await self._probe.page(server.http_address, host_header=website.domain)
        if page.status >= 500:
            raise ProviderDown("web", f"{website.domain} answers {page.status}")
        async with self._store.step(call) as (session, job):
            finish(job)
            await session.commit()

    async def _unschedule(self, call: StepCall, plan_id: UUID) -> None:
        effect = await self._effects.find(
            call, provider=PROVIDER, kind="schedule", reference=str(plan_id)
        )
        if effect is None or effect.state == EffectState.REMOVED:
            return
        website_id = UUID(effect.facts["website_id"])
        await self._schedules.remove(website_id)
        if await self._schedules.exists(website_id):
            raise ProviderDown(PROVIDER, "the schedule is still there")
        await self._effects.removed(effect)

    async def _end(self, call: StepCall, backup: Backup, status: BackupStatus) -> None:
        await self._archives.delete(call, backup)
        async with self._store.step(call) as (session, _):
            row = await session.get_one(Backup, backup.id, with_for_update=True)
            row.status = status
            await session.commit()

    async def _chosen(self, call: StepCall) -> Backup:
        async with self._store.step(call) as (session, job):
            backup = await session.get(Backup, UUID(job.input["backup_id"]))
            await session.commit()
        if backup is None or backup.website_id != call.subject_id:
            raise GiveUp(
                Reason.INVALID, "this website has no such backup", code="no_backup"
            )
        if backup.status != BackupStatus.STORED:
            raise GiveUp(
                Reason.INVALID,
                f"the backup is {backup.status}, not stored",
                code="no_backup",
            )
        return backup


async def _begun(session: Session, plan_id: UUID) -> Website:
    """The active website of the plan; what an undo had failed is under way again."""
    plan = await session.get_one(BackupPlan, plan_id)
    website = await session.get(Website, plan.website_id) if plan.website_id else None
    if website is not None and website.status in (
        ServiceStatus.PENDING,
        ServiceStatus.PROVISIONING,
    ):
        # After a lost run, people may retry the add-on before its website.
        raise NotYet("the website to back up is not live yet", delay=2.0)
    if website is None or website.status != ServiceStatus.ACTIVE:
        raise GiveUp(
            Reason.INVALID,
            "the website to back up is not active; bring it back, then retry",
            code="website_inactive",
        )
    if plan.status == ServiceStatus.FAILED:
        plan.status = ServiceStatus.PENDING
    subscription = await session.get(Subscription, plan.subscription_id)
    if subscription is not None and subscription.status == ServiceStatus.FAILED:
        subscription.status = ServiceStatus.PENDING
    return website
