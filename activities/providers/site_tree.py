"""The files of one site on its hosting server, over SFTP.

CloudPanel makes the docroot a plain folder. The first suspension or restore moves it
aside and puts links in its place; from then on each switch is one atomic rename:

    /home/<user>/htdocs/<domain>          -> .<domain>/current or .<domain>/suspended
    /home/<user>/htdocs/.<domain>/current -> original, or the name of a restored folder
                                 /original    the folder that CloudPanel made
                                 /suspended   one page
"""

import contextlib
import posixpath
import secrets
import stat
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass

import asyncssh

from activities.errors import ProviderRejected
from activities.providers.ssh import SftpSession

PROVIDER = "hosting"
_REFUSED = (
    asyncssh.SFTPPermissionDenied,
    asyncssh.SFTPOpUnsupported,
    asyncssh.SFTPFailure,
)


@dataclass(frozen=True)
class Owner:
    """Who the files of the site belong to."""

    uid: int
    gid: int


@dataclass(frozen=True)
class SiteTree:
    """Paths and moves. Every method may be repeated after a crash at any point."""

    session: SftpSession
    site_user: str
    domain: str

    @property
    def docroot(self) -> str:
        """What the web server serves."""
        return f"/home/{self.site_user}/htdocs/{self.domain}"

    @property
    def _store(self) -> str:
        return f"/home/{self.site_user}/htdocs/.{self.domain}"

    async def exists(self) -> bool:
        """Also between the two renames of the first switch."""
        for path in (self.docroot, self._store):
            if await self._mode(path) is not None:
                return True
        return False

    async def content(self) -> str:
        """The real folder of the site's own files, also while it is suspended."""
        mode = await self._mode(self.docroot)
        if mode is not None and stat.S_ISDIR(mode):
            found = self.docroot
        elif mode is not None and stat.S_ISLNK(mode):
            found = await self._current()
        elif await self._mode(f"{self._store}/original") is not None:
            found = f"{self._store}/original"
        else:
            raise ProviderRejected(PROVIDER, f"no site {self.domain}", code="no_site")
        await self._at_home(found)
        return found

    async def owner(self) -> Owner:
        """The owner of the content."""
        attrs = await self.session.client.stat(await self.content())
        return Owner(attrs.uid or 0, attrs.gid or 0)

    async def write(
        self, path: str, source: AsyncIterable[bytes], owner: Owner, mode: int = 0o644
    ) -> None:
        """The file is the old one or the whole new one, never a part."""
        part = path + ".part"
        with contextlib.suppress(asyncssh.SFTPNoSuchFile):
            await self.session.client.remove(part)
        await self.session.write(part, source, new=True)
        await self.give(part, owner, mode)
        await self.session.client.posix_rename(part, path)

    async def make_folder(
        self, path: str | bytes, owner: Owner, mode: int = 0o755
    ) -> None:
        """One folder; there already is fine."""
        if await self._mode(path) is None:
            await self.session.client.mkdir(path)
            await self.give(path, owner, mode)

    async def give(self, path: str | bytes, owner: Owner, mode: int) -> None:
        """Owner and mode, as far as the server lets us."""
        with contextlib.suppress(*_REFUSED):
            await self.session.client.chown(path, owner.uid, owner.gid)
        await self.session.client.chmod(path, mode)

    async def suspend(self, page: bytes) -> None:
        """Serve `page` alone."""
        await self._be_switchable()
        owner, folder = await self.owner(), f"{self._store}/suspended"
        await self.make_folder(folder, owner)
        await self._at_home(folder)
        await self.write(f"{folder}/index.html", one(page), owner)
        await self._link(f".{self.domain}/suspended", self.docroot)

    async def resume(self) -> None:
        """Serve the content again."""
        if stat.S_ISDIR(await self._mode(self.docroot) or 0):
            return
        await self._be_switchable()
        await self._link(f".{self.domain}/current", self.docroot)

    async def new_folder(self) -> str:
        """An empty folder to fill, beside what is served."""
        await self._be_switchable()
        folder = f"{self._store}/{secrets.token_hex(4)}"
        await self.make_folder(folder, await self.owner())
        return folder

    async def switch_to(self, folder: str) -> None:
        """Make `folder` the content. A site that is suspended stays so.

        The last content is kept until the next switch: PHP caches resolved paths for
        two minutes. Older ones, and those of attempts that died, are removed.
        """
        last = await self._current()
        await self._link(posixpath.basename(folder), f"{self._store}/current")
        kept = {folder, last, f"{self._store}/current", f"{self._store}/suspended"}
        for name in await self.session.client.listdir(self._store):
            path = f"{self._store}/{name}"
            if name not in {".", ".."} and path not in kept:
                await self._remove(path)

    async def inside(self, path: str, root: str) -> None:
        """Raises `ProviderRejected` if a link leads from `root` to elsewhere."""
        client = self.session.client
        real, real_root = await client.realpath(path), await client.realpath(root)
        if real != real_root and not str(real).startswith(f"{real_root!s}/"):
            raise ProviderRejected(
                PROVIDER, f"{path} leads out of the site", code="outside"
            )

    async def _at_home(self, path: str) -> None:
        """We are root, and all below the home is the tenant's own to make links of."""
        await self.inside(path, f"/home/{self.site_user}")

    async def _be_switchable(self) -> None:
        mode = await self._mode(self.docroot)
        if mode is not None and stat.S_ISLNK(mode):
            await self._at_home(self._store)
            return
        if mode is not None:
            attrs = await self.session.client.stat(self.docroot)
            owner = Owner(attrs.uid or 0, attrs.gid or 0)
            await self.make_folder(self._store, owner)
            await self._at_home(self._store)
            await self._link("original", f"{self._store}/current")
            await self.session.client.posix_rename(
                self.docroot, f"{self._store}/original"
            )
        await self.content()
        await self._link(f".{self.domain}/current", self.docroot)

    async def _current(self) -> str:
        name = await self.session.client.readlink(f"{self._store}/current")
        return f"{self._store}/{posixpath.basename(str(name))}"

    async def _link(self, target: str, path: str) -> None:
        new = f"{self._store}/.link"
        with contextlib.suppress(asyncssh.SFTPNoSuchFile):
            await self.session.client.remove(new)
        await self.session.client.symlink(target, new)
        await self.session.client.posix_rename(new, path)

    async def _remove(self, path: str) -> None:
        if stat.S_ISDIR(await self._mode(path) or 0):
            await self.session.client.rmtree(path)
        else:
            await self.session.client.remove(path)

    async def _mode(self, path: str | bytes) -> int | None:
        try:
            return (await self.session.client.lstat(path)).permissions
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
            return None


async def one(content: bytes) -> AsyncIterator[bytes]:
    """A stream of one piece."""
    yield content
