"""CloudPanel on one hosting server: `clpctl` over SSH, the files over SFTP.

The wording of `clpctl` is no interface: what counts is its exit status, and then what
is there.
"""

import asyncio
import posixpath
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import asyncssh

from activities.errors import ProviderConflict, ProviderDown, ProviderRejected
from activities.gate import Gate
from activities.providers import site_archive
from activities.providers.site_tree import PROVIDER, SiteTree, one
from activities.providers.ssh import Disk, Finished, SshServer

_DOMAIN = re.compile(r"(?!-)[a-z0-9-]+(\.[a-z0-9-]+)+")
_SITE_USER = re.compile(r"[a-z][a-z0-9-]{0,31}")
_COMMAND = re.compile(r"[a-z]+(?::[a-z-]+)+")
_HOME = "/home"


@dataclass(frozen=True)
class FoundSite:
    """A site that is there, and the system user it runs as."""

    domain: str
    site_user: str


class CloudPanel:
    """The sites of one server. Ours are told by their `site_user`."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        username: str,
        client_key: Path,
        known_host_key: str,
        gate: Gate,
        timeout: float = 30,
    ) -> None:
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

    async def find_site(self, domain: str) -> FoundSite | None:
        """The site of that name, whoever made it."""
        _check(domain)
        async with self._server.sftp(disk=_HOME) as session:
            users = [str(user) for user in await session.client.listdir(_HOME)]
            trees = [
                SiteTree(session, user, domain)
                for user in sorted(users)
                if _SITE_USER.fullmatch(user)
            ]
            there = await asyncio.gather(*(tree.exists() for tree in trees))
        for tree, exists in zip(trees, there, strict=True):
            if exists:
                return FoundSite(domain, tree.site_user)
        return None

    async def site_users(self) -> list[str]:
        """The system users that have a home, ours and others."""
        async with self._server.sftp(disk=_HOME) as session:
            users = [str(user) for user in await session.client.listdir(_HOME)]
        return sorted(user for user in users if _SITE_USER.fullmatch(user))

    async def commands(self) -> frozenset[str]:
        """What `clpctl` says that it can do here. Raises `ProviderRejected` (`clpctl`)
        where it does not run."""
        done = await self._server.run("clpctl")
        if done.exit_status != 0:
            text = f"clpctl ends with {done.exit_status}: {done.output}"
            raise ProviderRejected(PROVIDER, text, code="clpctl")
        return frozenset(_COMMAND.findall(done.output))

    async def disk(self) -> Disk:
        """Where the sites lie."""
        return await self._server.disk(_HOME)

    async def create_site(
        self,
        *,
        domain: str,
        site_user: str,
        password: str,
        kind: Literal["static", "php"],
        php_version: str = "8.4",
    ) -> None:
        """A site of that name under that user is there afterwards.

        One that is there already counts as made; under another user it is foreign:
        `ProviderConflict`.
        """
        _check(domain, site_user)
        options = {"domainName": domain, "siteUser": site_user}
        if kind == "php":
            options |= {"phpVersion": php_version, "vhostTemplate": "Generic"}
        done = await self._clpctl(
            f"site:add:{kind}", **options, siteUserPassword=password
        )
        if await self._exists(site_user, domain):
            return
        if await self.find_site(domain) is not None:
            raise ProviderConflict(
                PROVIDER, f"{domain} belongs to another user", code="site_exists"
            )
        text = done.output.replace(password, "***")
        if done.exit_status == 0:
            raise ProviderDown(
                PROVIDER, f"said done, but no {domain}: {text}", code="garbage"
            )
        raise ProviderRejected(PROVIDER, f"site:add: {text}", code=_code(text))

    async def delete_site(self, domain: str, *, site_user: str) -> None:
        """Absent afterwards, with its user: the folder alone is the customer's, who may
        have removed it. A site of that name under another user is not ours: it stays,
        and ours counts as absent.
        """
        _check(domain, site_user)
        if site_user not in await self.site_users():
            return
        ours = await self._exists(site_user, domain)
        if not ours and await self.find_site(domain) is not None:
            return
        done = await self._clpctl("site:delete", "--force", domainName=domain)
        if site_user not in await self.site_users():
            return
        if done.exit_status == 0:
            raise ProviderDown(PROVIDER, f"{domain} is still there", code="garbage")
        raise ProviderRejected(
            PROVIDER, f"site:delete: {done.output}", code=_code(done.output)
        )

    async def deploy(
        self, *, site_user: str, domain: str, files: Mapping[str, bytes]
    ) -> None:
        """Write the files (paths below the docroot), each atomically; others stay."""
        async with self._tree(site_user, domain) as tree:
            root, owner = await tree.content(), await tree.owner()
            for path, content in files.items():
                _check_path(path)
                folder = root
                for part in path.split("/")[:-1]:
                    folder = posixpath.join(folder, part)
                    await tree.make_folder(folder, owner)
                await tree.inside(folder, root)
                await tree.write(posixpath.join(root, path), one(content), owner)

    async def read_file(
        self, *, site_user: str, domain: str, path: str
    ) -> bytes | None:
        """The file below the docroot, None if there is none."""
        _check_path(path)
        async with self._tree(site_user, domain) as tree:
            root = await tree.content()
            full = posixpath.join(root, path)
            try:
                await tree.inside(full, root)
                return b"".join([c async for c in tree.session.chunks(full)])
            except asyncssh.SFTPNoSuchFile:
                return None

    async def archive(self, *, site_user: str, domain: str, to: BinaryIO) -> None:
        """Write the content as a plain tar stream, equal bytes for an equal tree."""
        async with self._tree(site_user, domain) as tree:
            await site_archive.archive(tree.session, await tree.content(), to)

    async def unpack(self, *, site_user: str, domain: str, archive: BinaryIO) -> None:
        """Make the content exactly the archive's, by one switch at the end."""
        async with self._tree(site_user, domain) as tree:
            folder = await tree.new_folder()
            await site_archive.unpack(tree, folder, archive)
            await tree.switch_to(folder)

    async def suspend(self, *, site_user: str, domain: str, page: bytes) -> None:
        """Serve `page` as the site's only page; its content is kept."""
        async with self._tree(site_user, domain) as tree:
            await tree.suspend(page)

    async def resume(self, *, site_user: str, domain: str) -> None:
        """Serve the content again; a site that was not suspended stays as it is."""
        async with self._tree(site_user, domain) as tree:
            await tree.resume()

    async def aclose(self) -> None:
        await self._server.aclose()

    async def _exists(self, site_user: str, domain: str) -> bool:
        # `find_site` looks into every home: with many sites that takes its time.
        async with self._tree(site_user, domain) as tree:
            return await tree.exists()

    @asynccontextmanager
    async def _tree(self, site_user: str, domain: str) -> AsyncIterator[SiteTree]:
        _check(domain, site_user)
        async with self._server.sftp(disk=_HOME) as session:
            yield SiteTree(session, site_user, domain)

    async def _clpctl(self, command: str, *flags: str, **options: str) -> Finished:
        words = [f"--{name}={value}" for name, value in options.items()]
        return await self._server.run("clpctl", command, *words, *flags)


def _code(output: str) -> str:
    """The C library's words for a full disk, through whatever said them."""
    said = output.lower()
    if "disk quota exceeded" in said:
        return "quota"
    return "disk_full" if "no space left on device" in said else "clpctl"


def _check(domain: str, site_user: str | None = None) -> None:
    if not _DOMAIN.fullmatch(domain) or len(domain) > 253:
        raise ProviderRejected(PROVIDER, "not a domain name", code="domain")
    if site_user is not None and not _SITE_USER.fullmatch(site_user):
        raise ProviderRejected(PROVIDER, "not a site user", code="site_user")


def _check_path(path: str) -> None:
    if any(part in {"", ".", ".."} for part in path.split("/")):
        raise ProviderRejected(PROVIDER, f"bad path {path}", code="path")
