"""Sites on a hosting server: simulator, and sshd + nginx with a stub of clpctl."""

import asyncio
import contextlib
import io
import itertools
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from activities.errors import (
    ProviderConflict,
    ProviderDown,
    ProviderError,
    ProviderRejected,
)
from activities.providers.cloudpanel import CloudPanel, FoundSite
from activities.providers.web_probe import Page, WebProbe
from tests.providers.conftest import HostingTarget, make_keys, panel_of

PASSWORD = "s3cret-of-the-site"


class Site:
    """A site of its own for one test."""

    def __init__(self, server: HostingTarget, panel: CloudPanel) -> None:
        self.server, self.panel = server, panel
        self.user = f"u{uuid4().hex[:10]}"
        self.domain = f"{self.user}.test"
        self.htdocs = server.home / self.user / "htdocs"
        self.docroot = self.htdocs / self.domain

    async def create(self) -> None:
        await self.panel.create_site(
            domain=self.domain, site_user=self.user, password=PASSWORD, kind="php"
        )

    async def deploy(self, **files: str) -> None:
        contents = {name: text.encode() for name, text in files.items()}
        await self.panel.deploy(site_user=self.user, domain=self.domain, files=contents)

    async def archived(self) -> bytes:
        to = io.BytesIO()
        await self.panel.archive(site_user=self.user, domain=self.domain, to=to)
        return to.getvalue()

    async def unpack(self, archive: bytes) -> None:
        await self.panel.unpack(
            site_user=self.user, domain=self.domain, archive=io.BytesIO(archive)
        )

    async def suspend(self, page: bytes = b"<p>suspended</p>") -> None:
        await self.panel.suspend(site_user=self.user, domain=self.domain, page=page)

    async def resume(self) -> None:
        await self.panel.resume(site_user=self.user, domain=self.domain)

    async def page(self, path: str = "/") -> Page:
        probe = WebProbe()
        try:
            return await probe.page(self.server.web, host_header=self.domain, path=path)
        finally:
            await probe.aclose()


@pytest.fixture
async def site(server: HostingTarget, panel: CloudPanel) -> Site:
    site = Site(server, panel)
    await site.create()
    return site


def tree_of(folder: Path) -> dict[str, object]:
    """All below a folder: names, modes, contents, link targets."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = ("link", os.readlink(path))
        elif path.is_dir():
            found[name] = ("folder", path.stat().st_mode & 0o7777)
        else:
            mode, time = path.stat().st_mode & 0o7777, int(path.stat().st_mtime)
            found[name] = ("file", mode, time, path.read_bytes())
    return found


def furnish(folder: Path) -> None:
    """A tree with everything that an archive must keep."""
    (folder / "empty").mkdir()
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "run.sh").write_text("#!/bin/sh\n")
    (folder / "deep" / "er" / "run.sh").chmod(0o750)
    (folder / "deep").chmod(0o711)
    (folder / "big.bin").write_bytes(os.urandom(3_000_001))
    (folder / "nothing").touch()
    (folder / "na\u00efve \u00fcml\u00e4ut name.txt").write_text("ja")
    (folder / ("long" * 40)).write_text("a long name")
    (folder / "latest").symlink_to("deep/er/run.sh")
    (folder / "dangling").symlink_to("not/there")
    odd = os.fsencode(folder) + b"/caf\xe9"
    os.mkdir(odd)
    with open(odd + b"/\xff.txt", "w") as file:
        file.write("no UTF-8 in its name")
    os.utime(folder / "nothing", (1_600_000_000, 1_600_000_000))


def archive_with(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    to = io.BytesIO()
    with tarfile.open(fileobj=to, mode="w") as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return to.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, 0o644
    return info


async def test_a_site_is_made_found_and_served(site: Site) -> None:
    found = await site.panel.find_site(site.domain)
    await site.deploy(**{"index.php": "<h1>Welcome</h1>"})

    page = await site.page()

    assert found == FoundSite(site.domain, site.user)
    assert page.status == 200
    assert b"<h1>Welcome</h1>" in page.body


async def test_an_unknown_site_is_none_and_not_served(
    server: HostingTarget, panel: CloudPanel
) -> None:
    nobody = Site(server, panel)

    assert await panel.find_site(nobody.domain) is None
    try:
        assert (await nobody.page()).status == 404
    except ProviderDown:
        assert server.sim is None  # nginx hangs up, as CloudPanel's does


async def test_the_users_of_sites_are_listed(site: Site) -> None:
    assert site.user in await site.panel.site_users()


async def test_making_our_site_again_is_fine(site: Site) -> None:
    await site.deploy(**{"index.php": "kept"})

    await site.create()

    assert (await site.page()).body.strip() == b"kept"


async def test_a_site_of_another_user_is_a_conflict_and_survives_our_undo(
    site: Site,
) -> None:
    ours = Site(site.server, site.panel)
    ours.domain = site.domain

    with pytest.raises(ProviderConflict) as conflict:
        await ours.create()
    await site.panel.delete_site(ours.domain, site_user=ours.user)

    assert conflict.value.code == "site_exists"
    found = await site.panel.find_site(site.domain)
    assert found == FoundSite(site.domain, site.user)


async def test_a_refusal_tells_the_servers_words_but_no_password(
    server: HostingTarget, panel: CloudPanel
) -> None:
    first, second = Site(server, panel), Site(server, panel)
    await first.create()
    second.user = first.user

    with pytest.raises(ProviderRejected) as refused:
        await second.create()

    assert refused.value.code == "clpctl"
    assert "exists" in str(refused.value)
    assert PASSWORD not in str(refused.value)
    assert refused.value.__cause__ is None


async def test_a_site_whose_folder_its_customer_has_removed_is_deleted_whole(
    site: Site,
) -> None:
    shutil.rmtree(site.docroot)

    await site.panel.delete_site(site.domain, site_user=site.user)

    assert site.user not in await site.panel.site_users()


async def test_a_site_is_deleted_with_its_files_and_may_be_deleted_again(
    site: Site,
) -> None:
    await site.panel.delete_site(site.domain, site_user=site.user)
    await site.panel.delete_site(site.domain, site_user=site.user)

    assert await site.panel.find_site(site.domain) is None
    assert not (site.server.home / site.user).exists()


async def test_many_sites_at_once(server: HostingTarget, panel: CloudPanel) -> None:
    sites = [Site(server, panel) for _ in range(12)]

    await asyncio.gather(*(site.create() for site in sites))

    found = await asyncio.gather(*(panel.find_site(site.domain) for site in sites))
    assert found == [FoundSite(site.domain, site.user) for site in sites]


async def test_deployed_files_belong_to_the_site_and_leave_others_alone(
    site: Site,
) -> None:
    await site.deploy(**{"a/b/c.txt": "one", "keep.txt": "kept"})
    await site.deploy(**{"a/b/c.txt": "two"})

    deep = site.docroot / "a" / "b" / "c.txt"
    assert deep.read_text() == "two"
    assert (site.docroot / "keep.txt").read_text() == "kept"
    owner = site.docroot.stat().st_uid
    assert {deep.stat().st_uid, deep.parent.stat().st_uid} == {owner}
    assert not list(site.docroot.rglob("*.part"))


async def test_an_upload_that_breaks_off_leaves_the_old_file(site: Site) -> None:
    await site.deploy(**{"index.php": "old"})
    old = tree_of(site.docroot)

    upload = asyncio.create_task(site.deploy(**{"index.php": "new" * 20_000_000}))
    # Another process writes there: there is nothing to wait for but the sight of it.
    while tree_of(site.docroot) == old and not upload.done():  # noqa: ASYNC110
        await asyncio.sleep(0)
    upload.cancel()
    await asyncio.gather(upload, return_exceptions=True)

    assert upload.cancelled()
    assert tree_of(site.docroot)["index.php"] == old["index.php"]


async def test_a_file_is_read_back_and_an_absent_one_is_none(site: Site) -> None:
    await site.deploy(**{"a/b.txt": "text"})

    read = site.panel.read_file

    assert (
        await read(site_user=site.user, domain=site.domain, path="a/b.txt") == b"text"
    )
    assert await read(site_user=site.user, domain=site.domain, path="a/c.txt") is None
    assert await read(site_user=site.user, domain=site.domain, path="x/y.txt") is None


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a//b", "a/../../x", ""])
async def test_a_path_out_of_the_site_is_refused(site: Site, path: str) -> None:
    with pytest.raises(ProviderRejected):
        await site.deploy(**{path: "x"})


async def test_a_link_that_a_tenant_planted_is_not_followed(
    site: Site, tmp_path: Path
) -> None:
    (site.docroot / "trap").symlink_to(tmp_path)

    with pytest.raises(ProviderError):
        await site.deploy(**{"trap/x.txt": "x"})

    assert tree_of(tmp_path) == {}


def plant_a_store(site: Site, elsewhere: Path) -> None:
    (site.htdocs / f".{site.domain}").symlink_to(elsewhere)


def plant_a_content(site: Site, elsewhere: Path) -> None:
    plant_a_docroot(site, "trap")
    (site.htdocs / f".{site.domain}" / "trap").symlink_to(elsewhere)


def plant_a_notice(site: Site, elsewhere: Path) -> None:
    plant_a_docroot(site, "original")
    (site.htdocs / f".{site.domain}" / "suspended").symlink_to(elsewhere)


def plant_a_part_of_a_notice(site: Site, elsewhere: Path) -> None:
    plant_a_docroot(site, "original")
    notice = site.htdocs / f".{site.domain}" / "suspended"
    notice.mkdir()
    (notice / "index.html.part").symlink_to(elsewhere / "theirs.txt")


def plant_a_part_of_a_page(site: Site, elsewhere: Path) -> None:
    (site.docroot / "index.php.part").symlink_to(elsewhere / "theirs.txt")


def plant_a_docroot(site: Site, content: str) -> None:
    """As the first switch leaves it; all of it is the tenant's own to change."""
    store = site.htdocs / f".{site.domain}"
    store.mkdir()
    site.docroot.rename(store / "original")
    (store / "current").symlink_to(content)
    site.docroot.symlink_to(f".{site.domain}/current")


@pytest.mark.parametrize(
    "plant",
    [
        plant_a_store,
        plant_a_content,
        plant_a_notice,
        plant_a_part_of_a_notice,
        plant_a_part_of_a_page,
    ],
)
async def test_nothing_of_others_is_read_written_or_removed_through_a_planted_link(
    site: Site, tmp_path: Path, plant: Callable[[Site, Path], None]
) -> None:
    archive = await site.archived()
    (tmp_path / "theirs.txt").write_text("another customer's")
    (tmp_path / "folder").mkdir()
    theirs = tree_of(tmp_path)
    plant(site, tmp_path)
    archived = b""

    with contextlib.suppress(ProviderError):
        await site.deploy(**{"index.php": "x"})
    with contextlib.suppress(ProviderError):
        archived = await site.archived()
    with contextlib.suppress(ProviderError):
        await site.suspend()
    with contextlib.suppress(ProviderError):
        await site.unpack(archive)

    assert tree_of(tmp_path) == theirs
    assert b"another customer's" not in archived


async def test_files_for_a_site_that_is_not_there_are_refused(
    server: HostingTarget, panel: CloudPanel
) -> None:
    nobody = Site(server, panel)

    with pytest.raises(ProviderRejected) as refused:
        await nobody.deploy(**{"index.php": "x"})

    assert refused.value.code == "no_site"


async def test_an_archive_restored_into_an_empty_site_is_equal_byte_for_byte(
    site: Site, server: HostingTarget, panel: CloudPanel
) -> None:
    furnish(site.docroot)
    empty = Site(server, panel)
    await empty.create()
    archive = await site.archived()

    await empty.unpack(archive)

    assert tree_of(empty.docroot.resolve()) == tree_of(site.docroot)
    assert await empty.archived() == archive
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        assert tar.getmember("deep/er/run.sh").mode == 0o750
        top = [os.fsencode(name) for name in tar.getnames() if "/" not in name]
        assert top == sorted(top)


async def test_restoring_removes_what_the_archive_does_not_have(site: Site) -> None:
    await site.deploy(**{"index.php": "old"})
    archive = await site.archived()
    await site.deploy(**{"index.php": "new", "later.txt": "later"})

    await site.unpack(archive)
    store = site.htdocs / f".{site.domain}"
    served_before = (store / "current").resolve()
    await site.unpack(archive)

    assert (await site.page()).body.strip() == b"old"
    assert (store / "current").resolve() != served_before
    assert served_before.is_dir()
    assert not (site.docroot / "later.txt").exists()
    assert (await site.page("/later.txt")).status == 404
    # The link itself, the folder served and the one before: no more is kept.
    assert len([p for p in site.htdocs.glob(f".{site.domain}/*") if p.is_dir()]) <= 3


async def test_visitors_never_see_half_of_a_restore(site: Site) -> None:
    await site.deploy(**{"index.php": "old"})
    archive = await site.archived()
    await site.unpack(archive)
    bodies: list[bytes] = []

    async def visit() -> None:
        while True:
            bodies.append((await site.page()).body.strip())

    visitor = asyncio.create_task(visit())
    for text in itertools.cycle(("new", "newer")):
        await site.deploy(**{"index.php": text})
        await site.unpack(archive)
        if text == "newer" and (len(bodies) > 5 or visitor.done()):
            break
    assert not visitor.done()
    visitor.cancel()

    assert set(bodies) <= {b"old", b"new", b"newer"}


@pytest.mark.parametrize(
    "bad",
    ["up", "absolute", "below a link", "over a link", "pipe", "hard link", "garbage"],
)
async def test_a_bad_archive_changes_nothing(
    site: Site, bad: str, tmp_path: Path
) -> None:
    way = member("way", tarfile.SYMTYPE, str(tmp_path))
    archive = {
        "up": archive_with((member("../../escape.txt"), b"x")),
        "absolute": archive_with((member("/escape.txt"), b"x")),
        "below a link": archive_with((way, b""), (member("way/escape.txt"), b"x")),
        "over a link": archive_with(
            (member("way", tarfile.SYMTYPE, str(tmp_path / "escape.txt")), b""),
            (member("./way"), b"x"),
        ),
        "pipe": archive_with((member("pipe", tarfile.FIFOTYPE), b"")),
        "hard link": archive_with((member("h", tarfile.LNKTYPE, "/etc/passwd"), b"")),
        "garbage": b"this is no archive" * 100,
    }[bad]
    await site.deploy(**{"index.php": "old"})

    with pytest.raises(ProviderRejected) as refused:
        await site.unpack(archive)

    assert refused.value.code == "archive"
    assert (await site.page()).body.strip() == b"old"
    assert tree_of(tmp_path) == {}
    assert "escape.txt" not in str(tree_of(site.server.home).keys())


async def test_a_suspended_site_shows_one_page_and_comes_back_as_it_was(
    site: Site,
) -> None:
    await site.deploy(**{"index.php": "content", "other.txt": "other"})
    archive = await site.archived()

    await site.suspend(b"<p>closed</p>")
    await site.suspend(b"<p>suspended</p>")

    assert (await site.page()).body == b"<p>suspended</p>"
    assert (await site.page("/other.txt")).status == 404
    assert await site.panel.find_site(site.domain) == FoundSite(site.domain, site.user)
    assert await site.archived() == archive

    await site.resume()
    await site.resume()

    assert (await site.page()).body.strip() == b"content"
    assert (await site.page("/other.txt")).status == 200


async def test_a_site_that_was_never_suspended_resumes_to_itself(site: Site) -> None:
    await site.resume()

    assert not site.docroot.is_symlink()
    assert (await site.page()).status == 200


async def test_a_suspended_site_takes_files_and_a_restore_but_stays_suspended(
    site: Site,
) -> None:
    await site.suspend()
    await site.deploy(**{"index.php": "first"})
    archive = await site.archived()
    await site.deploy(**{"index.php": "second"})
    await site.unpack(archive)

    assert (await site.page()).body == b"<p>suspended</p>"

    await site.resume()
    assert (await site.page()).body.strip() == b"first"


@pytest.mark.parametrize("renamed", [False, True])
async def test_a_crash_within_the_first_switch_loses_nothing(
    site: Site, renamed: bool
) -> None:
    await site.deploy(**{"index.php": "content"})
    store = site.htdocs / f".{site.domain}"
    store.mkdir()
    (store / "current").symlink_to("original")
    if renamed:
        site.docroot.rename(store / "original")

    assert await site.panel.find_site(site.domain) == FoundSite(site.domain, site.user)
    await site.suspend()
    await site.resume()

    assert (await site.page()).body.strip() == b"content"


async def test_a_deleted_site_leaves_no_link_behind(site: Site) -> None:
    await site.suspend()

    await site.panel.delete_site(site.domain, site_user=site.user)

    assert await site.panel.find_site(site.domain) is None
    await site.create()
    assert (await site.page()).status == 200


async def test_another_host_key_is_refused_for_good(
    server: HostingTarget, tmp_path: Path
) -> None:
    other = make_keys(tmp_path / "other")
    keys = type(other)(
        server.keys.host_key,
        server.keys.client_key,
        server.keys.authorized_keys,
        other.host_line,
    )
    panel = panel_of(server, keys)

    with pytest.raises(ProviderRejected) as refused:
        await panel.find_site("any.test")

    assert refused.value.code == "host_key"


async def test_a_key_the_server_does_not_know_is_refused_for_good(
    server: HostingTarget, tmp_path: Path
) -> None:
    other = make_keys(tmp_path / "other")
    keys = type(other)(
        server.keys.host_key,
        other.client_key,
        other.authorized_keys,
        server.keys.host_line,
    )
    panel = panel_of(server, keys)

    with pytest.raises(ProviderRejected) as refused:
        await panel.find_site("any.test")

    assert refused.value.code == "key_refused"


async def test_a_closed_connection_is_opened_again(site: Site) -> None:
    await site.panel.aclose()

    assert await site.panel.find_site(site.domain) is not None
