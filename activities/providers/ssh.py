"""SSH and SFTP to one server.

Each call has a connection to itself; a good one is kept for the next call, and one on
which anything failed is cut. So a call that hangs holds up no other, and its end does
not depend on the server's answer. What went wrong is told as everywhere:

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

# sshd begins to refuse above ten logins at once (MaxStartups).
_CONNECTIONS = 8
_KEEPALIVE = 10
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Finished:
    """A command that ended. `output` is both streams, stripped."""

    exit_status: int
    output: str


@dataclass(frozen=True)
class Disk:
    """Bytes, as an ordinary user may use them."""

    free: int
    total: int


class Deadline:
    """Cuts a connection when nothing has happened on it for `timeout` seconds.

    Not by cancelling: asyncssh then waits for the server's answer to its tidying up.
    """

    def __init__(self, connection: asyncssh.SSHClientConnection, timeout: float):
        self.passed = False
        self._connection, self._timeout = connection, timeout
        self._timer = self._started()

    def extend(self) -> None:
        """Something arrived: the time counts from now."""
        self._timer.cancel()
        self._timer = self._started()

    def over(self) -> None:
        """The call ended in time."""
        self._timer.cancel()

    def _started(self) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(self._timeout, self._cut)

    def _cut(self) -> None:
        self.passed = True
        self._connection.abort()


@dataclass(frozen=True)
class SftpSession:
    """An open SFTP channel. Long work says `progressed`, else its time runs out."""

    client: asyncssh.SFTPClient
    deadline: Deadline

    async def chunks(self, path: str | bytes) -> AsyncIterator[bytes]:
        """The bytes of a file, a megabyte at a time."""
        file = await self.client.open(path, "rb", encoding=None)
        while chunk := await file.read(_CHUNK):
            self.progressed()
            yield bytes(chunk)  # type: ignore[arg-type]  # no encoding: bytes
        await file.close()

    async def write(
        self, path: str | bytes, source: AsyncIterable[bytes], *, new: bool = False
    ) -> None:
        """A new file, or a new content for an old one, flushed to the disk.

        `new`: fails if anything stands there, be it a link.
        """
        file = await self.client.open(path, "xb" if new else "wb", encoding=None)
        async for chunk in source:
            await file.write(chunk)
            self.progressed()
        await file.fsync()
        await file.close()

    def progressed(self) -> None:
        """The time-out counts from now."""
        self.deadline.extend()


class SshServer:
    """One server with one pinned host key. Retries nothing."""

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
        self._host, self._port, self._username = host, port, username
        self._client_key = asyncssh.read_private_key(client_key)
        self._host_key = asyncssh.import_public_key(known_host_key)
        self._idle: list[asyncssh.SSHClientConnection] = []
        self._slots = asyncio.Semaphore(_CONNECTIONS)

    async def run(self, *words: str) -> Finished:
        """Run one command; whatever its exit status is, it is an answer."""
        command = shlex.join(words)
        async with self._call() as (connection, _):
            done = await connection.run(command, stdin=asyncssh.DEVNULL)
            if done.exit_status is None or done.exit_status < 0:
                raise asyncssh.ConnectionLost("the command ended without a status")
        output = [str(done.stdout or ""), str(done.stderr or "")]
        return Finished(done.exit_status, "\n".join(output).strip())

    @asynccontextmanager
    async def sftp(self, *, disk: str) -> AsyncIterator[SftpSession]:
        """A channel for a few calls. `disk` is a path on the disk that is written."""
        async with self._call() as (connection, deadline):
            client = await connection.start_sftp_client()
            try:
                yield SftpSession(client, deadline)
            except asyncssh.SFTPFailure:
                # SFTP 3 has no word for a full disk.
                if await _is_full(client, disk):
                    raise asyncssh.SFTPNoSpaceOnFilesystem("disk full") from None
                raise
            client.exit()
            await client.wait_closed()

    async def disk(self, path: str) -> Disk:
        """The disk that holds the path."""
        async with self.sftp(disk=path) as session:
            found = await session.client.statvfs(path)
        return Disk(found.bavail * found.frsize, found.blocks * found.frsize)

    async def aclose(self) -> None:
        """Close what is kept; a later call connects again."""
        while self._idle:
            connection = self._idle.pop()
            connection.close()
            await connection.wait_closed()

    @asynccontextmanager
    async def _call(
        self,
    ) -> AsyncIterator[tuple[asyncssh.SSHClientConnection, Deadline]]:
        await self._gate.enter()
        async with self._slots:
            connection = await self._connection()
            deadline = Deadline(connection, self._timeout)
            try:
                yield connection, deadline
            # `from None`: asyncssh's errors carry the command, with its password.
            except (asyncssh.Error, OSError) as error:
                connection.abort()
                raise self._failure(error, late=deadline.passed) from None
            except BaseException:
                connection.abort()
                raise
            finally:
                deadline.over()
            self._idle.append(connection)

    async def _connection(self) -> asyncssh.SSHClientConnection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        try:
            return await asyncssh.connect(
                self._host,
                self._port,
                username=self._username,
                client_keys=[self._client_key],
                known_hosts=([self._host_key], [], []),
                preferred_auth="publickey",
                agent_path=None,
                config=None,
                connect_timeout=self._timeout,
                keepalive_interval=_KEEPALIVE,
            )
        except (asyncssh.Error, OSError) as error:
            raise self._failure(error) from None

    def _failure(self, error: Exception, *, late: bool = False) -> ProviderError:
        for kind, code, text in _REFUSALS:
            if isinstance(error, kind):
                return ProviderRejected(self._provider, text, code=code)
        text = f"{type(error).__name__} {getattr(error, 'reason', '')}"
        if late:
            text = f"no answer within {self._timeout:g} s"
        return ProviderDown(self._provider, text, code="network")


_NOT_THE_KEY = "the server does not have the known host key"
_REFUSALS: Sequence[tuple[type[Exception], str, str]] = (
    (asyncssh.HostKeyNotVerifiable, "host_key", _NOT_THE_KEY),
    (asyncssh.KeyExchangeFailed, "host_key", _NOT_THE_KEY),
    (asyncssh.PermissionDenied, "key_refused", "the server refuses our client key"),
    (asyncssh.SFTPNoSpaceOnFilesystem, "disk_full", "the disk is full"),
    (asyncssh.SFTPQuotaExceeded, "quota", "the disk quota is used up"),
    (asyncssh.SFTPPermissionDenied, "permission", "the server denies access to a file"),
    (asyncssh.SFTPNoSuchFile, "not_found", "a file or folder is missing"),
    (asyncssh.SFTPNoSuchPath, "not_found", "a file or folder is missing"),
)


async def _is_full(client: asyncssh.SFTPClient, disk: str) -> bool:
    try:
        return (await client.statvfs(disk)).bavail == 0
    except asyncssh.SFTPError:
        return False
