"""Archives at the backup store: sealed before they leave, verified before they serve.

They pass through nameless temporary files (in `TMPDIR`) that end with the process.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from io import BufferedRandom
from tempfile import TemporaryFile
from typing import BinaryIO, Protocol

from activities.archive_seal import ArchiveDamaged, seal, unseal
from activities.calls import StepCall
from activities.effects import EffectLedger
from activities.errors import GiveUp, ProviderDown, ProviderRejected
from activities.store import Store
from models.backups import Backup
from models.states import EffectState, Reason
from models.vault import Vault

PROVIDER = "backup_store"


class StoredArchive(Protocol):
    """`sha256` in hex, of what was read back."""

    @property
    def sha256(self) -> str: ...


class ArchiveStore(Protocol):
    """A second machine. A name appears there when all its bytes are there."""

    async def put(self, name: str, source: BinaryIO) -> StoredArchive: ...

    async def get(self, name: str, to: BinaryIO) -> None: ...

    async def find(self, name: str) -> StoredArchive | None: ...

    async def delete(self, name: str) -> None: ...


class SealedArchives:
    """One archive per `Backup` row, under a key of its own."""

    def __init__(
        self, store: Store, effects: EffectLedger, vault: Vault, remote: ArchiveStore
    ) -> None:
        self._store, self._effects = store, effects
        self._vault, self._remote = vault, remote

    async def make(
        self,
        call: StepCall,
        backup: Backup,
        fill: Callable[[BinaryIO], Awaitable[None]],
    ) -> None:
        """Seals and stores what `fill` writes.

        The sums are committed before the store is called: a repeat finds by them what
        an earlier try has stored, and fills again only if it is not there.
        """
        async with self._store.step(call) as (session, _):
            effect = await self._effects.intend(
                session,
                call,
                owner_id=backup.website_id,
                provider=PROVIDER,
                kind="archive",
                reference=str(backup.id),
                facts={"archive": backup.archive},
            )
            await session.commit()
        if not await self.stands(backup):
            with TemporaryFile() as content, TemporaryFile() as sealed:
                await fill(content)
                content.seek(0)
                await self._seal(call, backup, content, sealed)
                sealed.seek(0)
                await self._remote.put(backup.archive, sealed)
        await self._effects.present(effect, remote_id=backup.archive)

    async def stands(self, backup: Backup) -> bool:
        """Whether the archive lies at the store just as its row says."""
        if not backup.sha256:
            return False
        found = await self._remote.find(backup.archive)
        return found is not None and found.sha256 == backup.sha256

    async def delete(self, call: StepCall, backup: Backup) -> None:
        """Takes it away and reads back that it is gone."""
        effect = await self._effects.find(
            call, provider=PROVIDER, kind="archive", reference=str(backup.id)
        )
        if effect is None or effect.state == EffectState.REMOVED:
            return
        await self._remote.delete(backup.archive)
        if await self._remote.find(backup.archive) is not None:
            raise ProviderDown(PROVIDER, f"{backup.archive} is still there")
        await self._effects.removed(effect)

    @asynccontextmanager
    async def opened(self, backup: Backup) -> AsyncIterator[BinaryIO]:
        """Its content, after both sums were found right.

        Raises `ProviderRejected` if they are not, `GiveUp` if its key is missing.
        """
        key = self._key(backup, backup.key_version)
        with TemporaryFile() as sealed, TemporaryFile() as content:
            await self._remote.get(backup.archive, sealed)
            try:
                await asyncio.to_thread(_open, backup, sealed, content, key)
            except ArchiveDamaged as damaged:
                raise ProviderRejected(
                    PROVIDER, f"{backup.archive}: {damaged}", code="damaged"
                ) from None
            yield content

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
                code="key_missing",
            ) from None


def _open(
    backup: Backup, sealed: BufferedRandom, content: BinaryIO, key: bytes
) -> None:
    """Decrypts into `content`, which then stands at its begin."""
    sealed.seek(0)
    if hashlib.file_digest(sealed, "sha256").hexdigest() != backup.sha256:
        raise ArchiveDamaged("it is not what was stored: its checksum differs")
    sealed.seek(0)
    if unseal(sealed, content, key) != backup.content_sha256:
        raise ArchiveDamaged("its content is not what was archived")
    content.seek(0)
