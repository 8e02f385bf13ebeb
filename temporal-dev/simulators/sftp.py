"""SSH and SFTP for simulators, on a tree in the data folder, with ledger and faults.

Operations: `sftp write` (a file is complete), `sftp rename`, `sftp remove`,
`sftp mkdir`, `sftp rmdir`, `sftp symlink`, and of the reads `sftp read` (a file is
opened) and `sftp list`. Looking at and changing attributes is not counted.

A file is an effect when it stands under its own name: closing `x.part` is none, and
renaming it to `x` is one, unless the same bytes stood there already.
"""

import asyncio
import hashlib
import os
import posixpath
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh

from simulators.core import Call, Garbled, Refused, Simulator, Withheld

_PART = b".part"
Command = Callable[[asyncssh.SSHServerProcess[str]], Awaitable[None]]


class SshServer:
    """Listens on loopback for one simulator. Only keys in `authorized_keys` get in.

    `effects` are the words for a file that came and a file that went.
    """

    def __init__(
        self,
        sim: Simulator,
        tree: Path,
        *,
        port: int,
        host_key: Path,
        authorized_keys: Path,
        effects: tuple[str, str],
        command: Command | None = None,
    ) -> None:
        self.port, self._sim, self._tree, self._effects = port, sim, tree, effects
        self._host_key, self._authorized_keys = host_key, authorized_keys
        self._command = command
        self._acceptor: asyncssh.SSHAcceptor | None = None
        self._connections: set[asyncssh.SSHServerConnection] = set()

    async def start(self) -> None:
        """Raises OSError when the port is taken."""
        self._tree.mkdir(parents=True, exist_ok=True)
        self._acceptor = await asyncssh.create_server(
            lambda: _Guest(self._connections, self._authorized_keys),
            "127.0.0.1",
            self.port,
            server_host_keys=[str(self._host_key)],
            process_factory=self._command,
            sftp_factory=lambda chan: TreeSftp(
                chan, self._sim, self._tree, self._effects
            ),
            login_timeout=10,
        )
        self.port = self._acceptor.get_port()

    async def stop(self) -> None:
        """Drops every connection."""
        if self._acceptor is not None:
            self._acceptor.close()
            for connection in self._connections:
                connection.abort()
            await self._acceptor.wait_closed()


class _Guest(asyncssh.SSHServer):
    """One connection, in the list of those to drop at the end.

    The keys are read when somebody comes, as sshd does: one that is taken off the list
    lets nobody in any more.
    """

    def __init__(
        self, connections: set[asyncssh.SSHServerConnection], authorized_keys: Path
    ) -> None:
        self._connections, self._authorized_keys = connections, authorized_keys

    def begin_auth(self, username: str) -> bool:  # noqa: ARG002
        keys = self._authorized_keys.read_text()
        allowed = asyncssh.import_authorized_keys(keys)
        self._connection.set_authorized_keys(allowed)
        return True

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._connections.discard(self._connection)


class TreeSftp(asyncssh.SFTPServer):
    """The tree is the root folder. Each complete file is an object `file`."""

    def __init__(
        self,
        chan: asyncssh.SSHServerChannel[bytes],
        sim: Simulator,
        tree: Path,
        effects: tuple[str, str],
    ) -> None:
        super().__init__(chan, chroot=os.fsencode(tree))
        self._sim = sim
        self._came, self._went = effects
        self._user = str(chan.get_extra_info("username"))
        self._written: dict[int, bytes] = {}
        self._full = False

    async def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        """Reading is a call now, writing when the file is closed."""
        if pflags & asyncssh.FXF_WRITE:
            file = super().open(path, pflags, attrs)
            self._written[id(file)] = path
            return file
        async with self._act("sftp read"):
            return super().open(path, pflags, attrs)

    async def close(self, file_obj: object) -> None:
        """A file whose writer vanished is incomplete: that is no call."""
        path = self._written.pop(id(file_obj), None)
        super().close(file_obj)
        if path is None or self.channel.is_closing():
            return
        async with self._act("sftp write") as call:
            if not path.endswith(_PART):
                digest, size = await self._digest(path)
                with call.change():
                    self._note(call, path, digest, size, was="")

    async def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        async with self._act("sftp rename") as call:
            await self._rename(call, oldpath, newpath)

    async def rename(self, oldpath: bytes, newpath: bytes) -> None:
        async with self._act("sftp rename") as call:
            if self._mode(newpath) is not None:
                raise asyncssh.SFTPFailure("the new name is taken")
            await self._rename(call, oldpath, newpath)

    async def remove(self, path: bytes) -> None:
        async with self._act("sftp remove") as call:
            link = stat.S_ISLNK(self._mode(path) or 0)
            super().remove(path)
            with call.change():
                name = _text(path)
                known = self._sim.store.remove("file", name)
                if known or not (link or path.endswith(_PART)):
                    call.effect(self._went, key=name)

    async def mkdir(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        async with self._act("sftp mkdir") as call:
            super().mkdir(path, attrs)
            call.effect("folder.created", key=_text(path))

    async def rmdir(self, path: bytes) -> None:
        async with self._act("sftp rmdir") as call:
            super().rmdir(path)
            call.effect("folder.removed", key=_text(path))

    async def symlink(self, oldpath: bytes, newpath: bytes) -> None:
        async with self._act("sftp symlink"):
            super().symlink(oldpath, newpath)

    def statvfs(self, path: bytes) -> os.statvfs_result | asyncssh.SFTPVFSAttrs:
        """Of no use but to tell a full disk, for which SFTP 3 has no error code."""
        return (
            asyncssh.SFTPVFSAttrs() if self._full else os.statvfs(self.map_path(path))
        )

    def readlink(self, path: bytes) -> bytes:
        """As it was made; asyncssh looks for a relative target at the real root."""
        target = os.readlink(self.map_path(path))
        return self.reverse_map_path(target) if os.path.isabs(target) else target

    async def scandir(self, path: bytes) -> AsyncIterator[asyncssh.SFTPName]:
        async with self._act("sftp list"):
            names = [name async for name in super().scandir(path)]
        for name in names:
            yield name

    @asynccontextmanager
    async def _act(self, op: str) -> AsyncIterator[Call]:
        try:
            async with self._sim.call(op, self._user) as call:
                try:
                    yield call
                except (OSError, asyncssh.SFTPError) as error:
                    call.answer(type(error).__name__)
                    raise
        except Refused as refused:
            self._full = refused.code == "disk_full"
            raise _sftp_error(refused) from None
        except Garbled:
            raise asyncssh.SFTPBadMessage("\ufffd garbled") from None
        except Withheld as withheld:
            await asyncio.sleep(withheld.seconds)
            hang_up(self.channel)
            raise asyncssh.SFTPConnectionLost("withheld") from None

    async def _rename(self, call: Call, old: bytes, new: bytes) -> None:
        mode = self._mode(old) or 0
        if stat.S_ISREG(mode):
            digest, size = await self._digest(old)
            was, _ = await self._digest(new)
            super().posix_rename(old, new)
            with call.change():
                self._sim.store.remove("file", _text(old))
                self._note(call, new, digest, size, was=was)
            return
        super().posix_rename(old, new)
        with call.change():
            what = "link" if stat.S_ISLNK(mode) else "folder"
            call.effect(f"{what}.renamed", key=_text(new), old=_text(old))
            self._move_objects(_text(old), _text(new))

    def _mode(self, path: bytes) -> int | None:
        try:
            return os.lstat(self.map_path(path)).st_mode
        except FileNotFoundError:
            return None

    def _note(
        self, call: Call, path: bytes, digest: str, size: int, *, was: str
    ) -> None:
        # What the ledger knows counts too: this process may have been killed between
        # the rename and its note, and then the repeat is what makes the effect known.
        name, store = _text(path), self._sim.store
        known = store.find("file", name) or {}
        if known.get("sha256") != digest or was not in {"", digest}:
            call.effect(self._came, key=name, sha256=digest, size=size)
        store.put("file", name, {"path": name, "sha256": digest, "size": size})

    def _move_objects(self, old: str, new: str) -> None:
        for body in self._sim.store.each("file"):
            path = body["path"]
            if path.startswith(old + "/"):
                moved = new + path[len(old) :]
                self._sim.store.remove("file", path)
                self._sim.store.put("file", moved, {**body, "path": moved})

    async def _digest(self, path: bytes) -> tuple[str, int]:
        local = Path(os.fsdecode(self.map_path(path)))
        return await asyncio.to_thread(_digest, local)


def hang_up(channel: asyncssh.SSHServerChannel[Any]) -> None:
    """Cut the whole connection, as a dead line or server does."""
    channel.get_connection().abort()


def _digest(path: Path) -> tuple[str, int]:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return digest, file.tell()
    except (FileNotFoundError, IsADirectoryError):
        return "", 0


def _sftp_error(refused: Refused) -> asyncssh.SFTPError:
    if refused.status == 429 or refused.status >= 500 or refused.code == "disk_full":
        return asyncssh.SFTPFailure(refused.message)
    return asyncssh.SFTPPermissionDenied(refused.message)


def _text(path: bytes) -> str:
    return posixpath.normpath("/" + path.decode("utf-8", "replace").lstrip("/"))
