"""SSH and SFTP to one server: one connection, opened when first needed.

Every call has its own channel, so that one that hangs holds up no other. What went
wrong is told as everywhere: refused for good, or perhaps happened.

    host key or client key refused, no permission, disk full   ProviderRejected
    network, time-out, dropped channel, unnamed SFTP failure   ProviderDown
"""

import asyncio
import shlex
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from activities.errors import ProviderDown, ProviderError, ProviderRejected
from activities.gate import Gate

# OpenSSH allows ten sessions on a connection (MaxSessions).
_CHANNELS = 8
_KEEPALIVE = 10
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Finished:
    """A command that ended. `output` is both streams, stripped."""

    exit_status: int
    output: str


@dataclass(frozen=True)
class SftpSession:
    """An open SFTP channel. Transfers say `progressed`, else time runs out."""

    client: asyncssh.SFTPClient
    deadline: asyncio.Timeout
    timeout: float

    async def chunks(self, path: str | bytes) -> AsyncIterator[bytes]:
        """The bytes of a file, a megabyte at a time."""
        async with self.client.open(path, "rb", encoding=None) as file:
            while chunk := await file.read(_CHUNK):
                self.progressed()
                yield bytes(chunk)  # type: ignore[arg-type]  # no encoding: bytes

    async def write(self, path: str | bytes, source: AsyncIterable[bytes]) -> None:
        """A new file, or a new content for an old one, flushed to the disk."""
        async with self.client.open(path, "wb", encoding=None) as file:
            async for chunk in source:
                await file.write(chunk)
                self.progressed()
            await file.fsync()

    def progressed(self) -> None:
        """Something arrived: the time-out counts from now."""
        self.deadline.reschedule(asyncio.get_running_loop().time() + self.timeout)


class SshServer:
    """One server with one pinned host key. Retries nothing; reconnects when asked."""

    def __init__(
        self,
        provider: str,
        host: str,
        port: int,
        *,
        username: str,
        client_key: Path,
        known_host_key: str,
        gate: Gate,
        timeout: float,
    ) -> None:
        self._provider, self._gate, self._timeout = provider, gate, timeout
        self._address = (host, port)
        self._username = username
        self._client_key = asyncssh.read_private_key(client_key)
        self._host_key = asyncssh.import_public_key(known_host_key)
        self._connection: asyncssh.SSHClientConnection | None = None
        self._connecting = asyncio.Lock()
        self._channels = asyncio.Semaphore(_CHANNELS)

    async def run(self, *words: str) -> Finished:
        """Run one command; whatever its exit status is, it is an answer."""
        command = shlex.join(words)
        async with self._call():
            connection = await self._connected()
            done = await connection.run(command, check=False, encoding="utf-8")
        if done.exit_status is None or done.exit_status < 0:
            raise ProviderDown(
                self._provider, f"{words[0]} ended without a status", code="network"
            )
        output = f"{done.stdout or ''!s}\n{done.stderr or ''!s}"
        return Finished(done.exit_status, output.strip())

    @asynccontextmanager
    async def sftp(self, *, disk: str) -> AsyncIterator[SftpSession]:
        """A channel for a few calls. `disk` is a path on the disk that is written."""
        async with self._call() as deadline:
            connection = await self._connected()
            async with connection.start_sftp_client() as client:
                try:
                    yield SftpSession(client, deadline, self._timeout)
                except asyncssh.SFTPFailure:
                    # OpenSSH has no word for a full disk.
                    if await _is_full(client, disk):
                        raise asyncssh.SFTPNoSpaceOnFilesystem("disk full") from None
                    raise

    async def aclose(self) -> None:
        """Close the connection; a later call opens a new one."""
        if self._connection is not None:
            self._connection.close()
            await self._connection.wait_closed()
            self._connection = None

    @asynccontextmanager
    async def _call(self) -> AsyncIterator[asyncio.Timeout]:
        await self._gate.enter()
        try:
            async with self._channels, asyncio.timeout(self._timeout) as deadline:
                yield deadline
        # `from None`: asyncssh's errors carry the command, which may hold a password.
        except (asyncssh.Error, OSError) as error:
            raise self._failure(error) from None

    async def _connected(self) -> asyncssh.SSHClientConnection:
        async with self._connecting:
            if self._connection is None or self._connection.is_closed():
                host, port = self._address
                self._connection = await asyncssh.connect(
                    host,
                    port,
                    username=self._username,
                    client_keys=[self._client_key],
                    known_hosts=([self._host_key], [], []),
                    preferred_auth="publickey",
                    agent_path=None,
                    config=None,
                    keepalive_interval=_KEEPALIVE,
                )
            return self._connection

    def _failure(self, error: Exception) -> ProviderError:
        for kind, code, text in _REFUSALS:
            if isinstance(error, kind):
                return ProviderRejected(self._provider, text, code=code)
        reason = getattr(error, "reason", "")
        return ProviderDown(
            self._provider, f"{type(error).__name__} {reason}", code="network"
        )


_REFUSALS: Sequence[tuple[type[Exception], str, str]] = (
    (
        asyncssh.HostKeyNotVerifiable,
        "host_key",
        "the server's host key is not the known one",
    ),
    (
        asyncssh.KeyExchangeFailed,
        "host_key",
        "the server has no host key of the known kind",
    ),
    (asyncssh.PermissionDenied, "key_refused", "the server refuses our client key"),
    (asyncssh.SFTPNoSpaceOnFilesystem, "disk_full", "the disk is full"),
    (asyncssh.SFTPQuotaExceeded, "disk_full", "the disk quota is used up"),
    (asyncssh.SFTPPermissionDenied, "permission", "the server denies access to a file"),
    (asyncssh.SFTPNoSuchFile, "not_found", "a file or folder is missing"),
    (asyncssh.SFTPNoSuchPath, "not_found", "a file or folder is missing"),
)


async def _is_full(client: asyncssh.SFTPClient, disk: str) -> bool:
    try:
        return (await client.statvfs(disk)).bavail == 0
    except asyncssh.SFTPError:
        return False
