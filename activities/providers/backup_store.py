"""Archives on a second server, by SFTP."""

import hashlib
import posixpath
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import asyncssh

from activities.errors import ProviderDown, ProviderRejected
from activities.gate import Gate
from activities.providers.ssh import Disk, SftpSession, SshServer

PROVIDER = "backup_store"
_CHUNK = 1 << 20
_PART = ".part"


@dataclass(frozen=True)
class Stored:
    """An archive. `size` in bytes; `sha256` in hex, of what was read."""

    name: str
    size: int
    sha256: str


class BackupStore:
    """Files below one root folder. Names are relative, with `/` between folders."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        username: str,
        client_key: Path,
        known_host_key: str,
        root: str,
        gate: Gate,
        timeout: float = 30,
    ) -> None:
        self._root = root.rstrip("/")
        self._server = SshServer(
            PROVIDER,
            host,
            port,
            username=username,
            client_key=client_key,
            known_host_key=known_host_key,
            gate=gate,
            timeout=timeout,
        )

    async def put(self, name: str, source: BinaryIO) -> Stored:
        """Store all of `source`; the name appears once its bytes were read back."""
        path = self._path(name)
        async with self._server.sftp(disk=self._root) as session:
            await session.client.makedirs(posixpath.dirname(path), exist_ok=True)
            sent = hashlib.sha256()
            await session.write(path + _PART, _chunks(source, sent))
            stored = await _read(session, path + _PART, name)
            if stored.sha256 != sent.hexdigest():
                raise ProviderDown(
                    PROVIDER, f"{name} does not read back as written", code="checksum"
                )
            await session.client.posix_rename(path + _PART, path)
        return stored

    async def get(self, name: str, to: BinaryIO) -> None:
        """Write the archive into `to`. Raises `ProviderRejected` if there is none."""
        async with self._server.sftp(disk=self._root) as session:
            await _read(session, self._path(name), name, to)

    async def find(self, name: str) -> Stored | None:
        """Size and checksum of what lies there, read now; None if nothing does."""
        async with self._server.sftp(disk=self._root) as session:
            try:
                return await _read(session, self._path(name), name)
            except asyncssh.SFTPNoSuchFile:
                return None

    async def delete(self, name: str) -> None:
        """An absent archive counts as deleted."""
        path = self._path(name)
        async with self._server.sftp(disk=self._root) as session:
            for leftover in (path, path + _PART):
                try:
                    await session.client.remove(leftover)
                except asyncssh.SFTPNoSuchFile:
                    continue

    async def disk(self) -> Disk:
        """Where the archives lie."""
        return await self._server.disk(self._root)

    async def names(self, prefix: str) -> list[str]:
        """Names of the complete archives that begin with `prefix`, sorted."""
        found: list[str] = []
        async with self._server.sftp(disk=self._root) as session:
            await self._collect(session, posixpath.dirname(prefix), found)
        return sorted(name for name in found if name.startswith(prefix))

    async def aclose(self) -> None:
        await self._server.aclose()

    async def _collect(
        self, session: SftpSession, folder: str, found: list[str]
    ) -> None:
        try:
            entries = await session.client.readdir(posixpath.join(self._root, folder))
        except asyncssh.SFTPNoSuchFile:
            return
        session.progressed()
        for entry in entries:
            name = posixpath.join(folder, str(entry.filename))
            if entry.filename in {".", ".."}:
                continue
            if stat.S_ISDIR(entry.attrs.permissions or 0):
                await self._collect(session, name, found)
            elif not name.endswith(_PART):
                found.append(name)

    def _path(self, name: str) -> str:
        parts = name.split("/")
        if any(part in {"", ".", ".."} for part in parts) or name.endswith(_PART):
            raise ProviderRejected(PROVIDER, f"bad archive name {name}", code="name")
        return f"{self._root}/{name}"


async def _chunks(source: BinaryIO, digest: "hashlib._Hash") -> AsyncIterator[bytes]:
    while chunk := source.read(_CHUNK):
        digest.update(chunk)
        yield chunk


async def _read(
    session: SftpSession, path: str, name: str, to: BinaryIO | None = None
) -> Stored:
    digest, size = hashlib.sha256(), 0
    async for chunk in session.chunks(path):
        digest.update(chunk)
        size += len(chunk)
        if to is not None:
            to.write(chunk)
    return Stored(name, size, digest.hexdigest())
