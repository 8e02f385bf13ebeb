"""The archive of a website: made, kept, expired, and brought back.

Archives pass through nameless temporary files (in `TMPDIR`) that end with the process.
"""

import asyncio
import hashlib
from datetime import timedelta
from io import BufferedRandom
from tempfile import TemporaryFile
from typing import BinaryIO, Protocol
from uuid import UUID

from temporalio import activity

from activities.archive_seal import ArchiveDamaged, seal, unseal
from activities.calls import StepCall
from activities.effects import EffectLedger
from activities.errors import GiveUp, ProviderDown, ProviderRejected
from activities.store import Store, finish
from activities.websites import Probe
from models.backups import Backup
from models.base import utc_now
from models.queries import backups, services
from models.servers import Server
from models.states import BackupStatus, EffectState, Reason
from models.vault import Vault
from models.websites import Website

PROVIDER = "backup_store"

_KEPT_DAYS = 30
_EXPIRED_AT_ONCE = 100


class SiteFiles(Protocol):
    """The content of the sites of one server, as a tar stream."""

    async def archive(self, *, site_user: str, domain: str, to: BinaryIO) -> None: ...

    async def unpack(
        self, *, site_user: str, domain: str, archive: BinaryIO
    ) -> None: ...


class HostingServers(Protocol):
    """The client of each server, made once."""

    def of(self, server: Server) -> SiteFiles: ...


class StoredArchive(Protocol):
    """`size` in bytes; `sha256` in hex, of what was read back."""

    @property
    def size(self) -> int: ...

    @property
    def sha256(self) -> str: ...


class ArchiveStore(Protocol):
    """A second machine. A name appears there when all its bytes are there."""

    async def put(self, name: str, source: BinaryIO) -> StoredArchive: ...

    async def get(self, name: str, to: BinaryIO) -> None: ...

    async def find(self, name: str) -> StoredArchive | None: ...

    async def delete(self, name: str) -> None: ...


class ArchiveActivities:
    """`subject_id` of every call is the website."""

    def __init__(
        self,
        store: Store,
        effects: EffectLedger,
        vault: Vault,
        servers: HostingServers,
        archives: ArchiveStore,
        probe: Probe,
    ) -> None:
        self._store, self._effects, self._vault = store, effects, vault
        self._servers, self._archives, self._probe = servers, archives, probe

    @activity.defn
    async def archive_site(self, call: StepCall) -> None:
        """The site's files at the store, sealed.

        Its sums are written before the store is called: a repeat finds by them what an
        earlier try has stored, and archives again only if it is not there.
        """
        website, server = await self._placed(call)
        async with self._store.step(call) as (session, job):
            backup = await backups.begin(session, job)
            await session.commit()
        effect = await self._effects.intend(
            call,
            owner_id=website.id,
            provider=PROVIDER,
            kind="archive",
            reference=str(backup.id),
            facts={"archive": backup.archive},
        )
        if not await self._stands(backup):
            with TemporaryFile() as content, TemporaryFile() as sealed:
                await self._servers.of(server).archive(
                    site_user=website.site_user, domain=website.domain, to=content
                )
                content.seek(0)
                await self._seal(call, backup, content, sealed)
                sealed.seek(0)
                await self._archives.put(backup.archive, sealed)
        await self._effects.present(effect, remote_id=backup.archive)

    @activity.defn
    async def remove_archive(self, call: StepCall) -> None:
        """The undo: nothing at the store, and the backup has failed."""
        async with self._store.step(call) as (session, _):
            backup = await backups.of_job(session, call.job_id)
            await session.commit()
        if backup is None or backup.status == BackupStatus.EXPIRED:
            return
        await self._delete(call, backup)
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
        if backup is None or not await self._stands(backup):
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
            await self._delete(call, backup)
            await self._end(call, backup, BackupStatus.EXPIRED)
        async with self._store.step(call) as (session, job):
            finish(job)
            await session.commit()

    async def _seal(
        self, call: StepCall, backup: Backup, content: BinaryIO, sealed: BinaryIO
    ) -> None:
        version = self._vault.newest
        key = self._key(backup, version)
        sums = await asyncio.to_thread(seal, content, sealed, key)
        async with self._store.step(call) as (session, _):
            row = await session.get_one(Backup, backup.id, with_for_update=True)
            row.key_version, row.size = version, sums.size
            row.sha256, row.content_sha256 = sums.sha256, sums.content_sha256
            await session.commit()

    def _key(self, backup: Backup, version: str) -> bytes:
        try:
            return self._vault.derived(version, f"backup:{backup.id}")
        except KeyError:
            raise GiveUp(
                Reason.INVALID,
                f"key {version} of this archive is not among the encryption keys;"
                " add it, then retry",
            ) from None

    async def _stands(self, backup: Backup) -> bool:
        """Whether the archive lies at the store just as its row says."""
        if not backup.sha256:
            return False
        found = await self._archives.find(backup.archive)
        return found is not None and found.sha256 == backup.sha256

    async def _delete(self, call: StepCall, backup: Backup) -> None:
        effect = await self._effects.find(
            call, provider=PROVIDER, kind="archive", reference=str(backup.id)
        )
        if effect is None or effect.state == EffectState.REMOVED:
            return
        await self._archives.delete(backup.archive)
        if await self._archives.find(backup.archive) is not None:
            raise ProviderDown(PROVIDER, f"{backup.archive} is still there")
        await self._effects.removed(effect)

    async def _end(self, call: StepCall, backup: Backup, status: BackupStatus) -> None:
        async with self._store.step(call) as (session, _):
            row = await session.get_one(Backup, backup.id, with_for_update=True)
            row.status = status
            await session.commit()

    @activity.defn
    async def restore_site(self, call: StepCall) -> None:
        """Makes the site's files those of the archive, by one switch at the end.

        Nothing of the site is touched before both sums were found right.
        """
        website, server = await self._placed(call)
        backup = await self._chosen(call)
        key = self._key(backup, backup.key_version)
        with TemporaryFile() as sealed, TemporaryFile() as content:
            await self._archives.get(backup.archive, sealed)
            try:
                await asyncio.to_thread(_checked, backup, sealed, content, key)
            except ArchiveDamaged as damaged:
                raise ProviderRejected(
                    PROVIDER, f"{backup.archive}: {damaged}", code="damaged"
                ) from None
            await self._servers.of(server).unpack(
                site_user=website.site_user, domain=website.domain, archive=content
            )

    @activity.defn
    async def probe_restored(self, call: StepCall) -> None:
        """Looks at the restored site from outside: anything but a server error."""
        website, server = await self._placed(call)
        page = await self._probe.page(server.http_address, host_header=website.domain)
        if page.status >= 500:
            raise ProviderDown("web", f"{website.domain} answers {page.status}")
        async with self._store.step(call) as (session, job):
            finish(job)
            await session.commit()

    async def _chosen(self, call: StepCall) -> Backup:
        async with self._store.step(call) as (session, job):
            backup = await session.get(Backup, UUID(job.input["backup_id"]))
            await session.commit()
        if backup is None or backup.website_id != call.subject_id:
            raise GiveUp(Reason.INVALID, "this website has no such backup")
        if backup.status != BackupStatus.STORED:
            raise GiveUp(Reason.INVALID, f"the backup is {backup.status}, not stored")
        return backup

    async def _placed(self, call: StepCall) -> tuple[Website, Server]:
        async with self._store.step(call, platform=True) as (session, _):
            website = await session.get_one(Website, call.subject_id)
            if website.server_id is None:
                raise GiveUp(Reason.INVALID, "the website has no place on a server")
            server = await session.get_one(Server, website.server_id)
            await session.commit()
            return website, server


def _checked(
    backup: Backup, sealed: BufferedRandom, content: BinaryIO, key: bytes
) -> None:
    """Opens the archive into `content`, which then stands at its begin."""
    sealed.seek(0)
    if hashlib.file_digest(sealed, "sha256").hexdigest() != backup.sha256:
        raise ArchiveDamaged("it is not what was stored: its checksum differs")
    sealed.seek(0)
    if unseal(sealed, content, key) != backup.content_sha256:
        raise ArchiveDamaged("its content is not what was archived")
    content.seek(0)
