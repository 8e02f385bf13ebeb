"""A site's files as a tar stream, and back.

The same tree gives the same bytes: members are sorted, owners are left out, folders and
links carry no time. Nothing is held in memory but one chunk. Permissions are kept
without set-user-id bits.
"""

import posixpath
import stat
import tarfile
from collections.abc import AsyncIterator
from typing import BinaryIO

from asyncssh import SFTPName

from activities.errors import ProviderDown, ProviderRejected
from activities.providers.site_tree import PROVIDER, Owner, SiteTree
from activities.providers.ssh import SftpSession

_CHUNK = 1 << 20
_FILE_BITS, _FOLDER_BITS = 0o0777, 0o2777


async def archive(session: SftpSession, root: str, to: BinaryIO) -> None:
    """Write all below the folder `root`; links are kept, not followed."""
    attrs = await session.client.lstat(root)
    to.write(_header(".", tarfile.DIRTYPE, mode=(attrs.permissions or 0)))
    async for name, entry in _walk(session, root.encode(), b""):
        await _add(session, posixpath.join(root.encode(), name), name, entry, to)
    to.write(bytes(2 * tarfile.BLOCKSIZE))


async def unpack(tree: SiteTree, folder: str, source: BinaryIO) -> None:
    """Fill the empty `folder` with the members. Raises `ProviderRejected` on a bad one.

    A member may not lie outside, nor at or below an earlier file or link: whoever made
    the archive cannot write anywhere else.
    """
    owner, leaves, folders = await tree.owner(), set[str](), list[tuple[bytes, int]]()
    try:
        with tarfile.open(fileobj=source, mode="r|", errors="surrogateescape") as tar:
            for member in tar:
                name = _checked(member.name, leaves)
                path = _raw(posixpath.normpath(posixpath.join(folder, name)))
                if member.isdir():
                    await tree.make_folder(path, owner)
                    folders.append((path, member.mode & _FOLDER_BITS))
                    continue
                leaves.add(name)
                if member.issym():
                    await tree.session.client.symlink(_raw(member.linkname), path)
                elif member.isreg():
                    await _restore(tree, tar, member, path, owner)
                else:
                    raise _bad(member.name)
                tree.session.progressed()
    except tarfile.TarError as error:
        raise ProviderRejected(PROVIDER, "not a tar archive", code="archive") from error
    # Last and innermost first, since a folder without write permission takes no files.
    for path, mode in reversed(folders):
        await tree.give(path, owner, mode)


async def _walk(
    session: SftpSession, root: bytes, below: bytes
) -> AsyncIterator[tuple[bytes, SFTPName]]:
    entries = [
        entry async for entry in session.client.scandir(posixpath.join(root, below))
    ]
    session.progressed()
    for entry in sorted(entries, key=lambda entry: entry.filename):
        filename = entry.filename
        if not isinstance(filename, bytes) or filename in {b".", b".."}:
            continue
        name = posixpath.join(below, filename)
        yield name, entry
        if stat.S_ISDIR(entry.attrs.permissions or 0):
            async for inner in _walk(session, root, name):
                yield inner


async def _add(
    session: SftpSession, path: bytes, name: bytes, entry: SFTPName, to: BinaryIO
) -> None:
    mode, text = entry.attrs.permissions or 0, _text(name)
    if stat.S_ISDIR(mode):
        to.write(_header(text, tarfile.DIRTYPE, mode=mode & _FOLDER_BITS))
    elif stat.S_ISLNK(mode):
        target = await session.client.readlink(path)
        to.write(_header(text, tarfile.SYMTYPE, target=_text(target)))
    elif stat.S_ISREG(mode):
        size = entry.attrs.size or 0
        mtime = entry.attrs.mtime or 0
        to.write(_header(text, tarfile.REGTYPE, mode=mode, size=size, mtime=mtime))
        left = size
        async for chunk in session.chunks(path):
            to.write(chunk[:left])
            left -= len(chunk[:left])
        if left:
            raise ProviderDown(PROVIDER, "a file shrank while it was read")
        to.write(bytes(-size % tarfile.BLOCKSIZE))


def _header(
    name: str,
    kind: bytes,
    *,
    mode: int = 0o777,
    size: int = 0,
    mtime: int = 0,
    target: str = "",
) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mtime, info.linkname = kind, size, mtime, target
    info.mode = mode & (_FOLDER_BITS if kind == tarfile.DIRTYPE else _FILE_BITS)
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


async def _restore(
    tree: SiteTree,
    tar: tarfile.TarFile,
    member: tarfile.TarInfo,
    path: bytes,
    owner: Owner,
) -> None:
    file = tar.extractfile(member)
    if file is None:
        raise _bad(member.name)

    async def content() -> AsyncIterator[bytes]:
        while chunk := file.read(_CHUNK):
            yield chunk

    await tree.session.write(path, content())
    await tree.give(path, owner, member.mode & _FILE_BITS)
    await tree.session.client.utime(path, (member.mtime, member.mtime))


def _checked(name: str, leaves: set[str]) -> str:
    clean = posixpath.normpath(name)
    parts = clean.split("/")
    on_the_way = {"/".join(parts[:i]) for i in range(1, len(parts) + 1)}
    if name.startswith("/") or ".." in parts or on_the_way & leaves:
        raise _bad(name)
    return clean


def _bad(name: str) -> ProviderRejected:
    return ProviderRejected(PROVIDER, f"bad archive member {name}", code="archive")


def _raw(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def _text(path: bytes | str) -> str:
    return path.decode("utf-8", "surrogateescape") if isinstance(path, bytes) else path
