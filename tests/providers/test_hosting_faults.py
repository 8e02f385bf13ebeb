"""What goes wrong at the hosting server, what the client says, and what the ledger has.

Only the simulator fails on demand; what it does at its best is in `test_cloudpanel`.
"""

import asyncio
import io
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncssh
import pytest
from simulators.faults import Script
from simulators.hosting import Hosting

from activities.errors import ProviderDown, ProviderError, ProviderRejected
from activities.providers.cloudpanel import CloudPanel, FoundSite
from tests.providers.conftest import (
    HostingTarget,
    Keys,
    make_keys,
    panel_of,
    simulated_hosting,
)

DOMAIN, USER = "shop.test", "shop"


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
async def target(
    tmp_path_factory: pytest.TempPathFactory, keys: Keys
) -> AsyncIterator[HostingTarget]:
    async with simulated_hosting(tmp_path_factory.mktemp("faulty"), keys) as target:
        yield target


@pytest.fixture
async def panel(target: HostingTarget) -> AsyncIterator[CloudPanel]:
    panel = panel_of(target, target.keys)
    yield panel
    await panel.aclose()


@pytest.fixture
async def hasty(target: HostingTarget) -> AsyncIterator[CloudPanel]:
    """A client for answers that are meant to come too late."""
    panel = panel_of(target, target.keys, timeout=4)
    yield panel
    await panel.aclose()


@pytest.fixture
def sim(target: HostingTarget) -> Hosting:
    assert target.sim is not None
    target.sim.reset()
    return target.sim


async def create(panel: CloudPanel) -> None:
    await panel.create_site(
        domain=DOMAIN, site_user=USER, password="hush-hush", kind="php"
    )


async def deploy(panel: CloudPanel, text: str = "hello") -> None:
    files = {"index.php": text.encode()}
    await panel.deploy(site_user=USER, domain=DOMAIN, files=files)


def effects(sim: Hosting) -> list[tuple[str, str]]:
    return [(e["effect"], e["key"]) for e in sim.store.effects()]


CREATED = ("site.created", DOMAIN)
DEPLOYED = ("file.deployed", f"/home/{USER}/htdocs/{DOMAIN}/index.php")


@pytest.mark.parametrize(
    ("script", "error", "made"),
    [
        (Script("reject", message="no room, hush-hush"), ProviderRejected, False),
        (Script("fail"), ProviderDown, False),
        (Script("throttle"), ProviderDown, False),
        (Script("kill_before", victim="nobody"), ProviderDown, False),
        (Script("slow", seconds=20), ProviderDown, False),
        (Script("execute_then_timeout", seconds=20), ProviderDown, True),
        (Script("execute_then_kill", victim="nobody"), ProviderDown, True),
        (Script("execute_then_fail"), ProviderDown, True),
    ],
    ids=lambda value: value.kind if isinstance(value, Script) else "",
)
async def test_a_site_that_went_wrong_is_made_once_by_the_repeat(
    panel: CloudPanel,
    hasty: CloudPanel,
    sim: Hosting,
    script: Script,
    error: type[ProviderError],
    made: bool,
) -> None:
    sim.store.set_faults([Script(**{**vars(script), "op": "clpctl site:add:*"})])

    with pytest.raises(error) as failure:
        await create(hasty if script.seconds else panel)
    found = await panel.find_site(DOMAIN)
    await create(panel)

    assert "hush-hush" not in str(failure.value)
    assert found == (FoundSite(DOMAIN, USER) if made else None)
    assert effects(sim) == [CREATED]


async def test_an_unreadable_yes_is_judged_by_what_is_there(
    panel: CloudPanel, sim: Hosting
) -> None:
    sim.store.set_faults([Script("garbage", op="clpctl *")])

    await create(panel)

    assert effects(sim) == [CREATED]


@pytest.mark.parametrize("op", ["sftp write", "sftp rename", "sftp list", "sftp *"])
@pytest.mark.parametrize(
    "kind",
    ["fail", "execute_then_timeout", "execute_then_fail", "kill_before", "garbage"],
)
async def test_a_deployment_that_went_wrong_is_one_effect_after_the_repeat(
    panel: CloudPanel, sim: Hosting, target: HostingTarget, kind: str, op: str
) -> None:
    await create(panel)
    sim.store.set_faults([Script(kind, op=op, seconds=0, victim="nobody")])

    try:
        await deploy(panel)
    except ProviderDown:
        await deploy(panel)

    assert effects(sim) == [CREATED, DEPLOYED]
    files = target.home / USER / "htdocs" / DOMAIN
    assert (files / "index.php").read_text() == "hello"


async def test_deploying_the_same_again_is_no_effect_and_a_change_is_one(
    panel: CloudPanel, sim: Hosting
) -> None:
    await create(panel)
    for text in ("one", "one", "two"):
        await deploy(panel, text)

    assert effects(sim) == [CREATED, DEPLOYED, DEPLOYED]
    last = sim.store.effects()[-1]["detail"]
    assert last["size"] == 3
    assert len(last["sha256"]) == 64


async def test_a_full_disk_is_refused_for_good(panel: CloudPanel, sim: Hosting) -> None:
    await create(panel)
    sim.store.set_faults([Script("reject", op="sftp write", code="disk_full")])

    with pytest.raises(ProviderRejected) as refused:
        await deploy(panel)

    assert refused.value.code == "disk_full"


async def test_a_hanging_call_holds_up_no_other(
    target: HostingTarget, sim: Hosting
) -> None:
    panel = panel_of(target, target.keys, timeout=8)
    await create(panel)
    sim.store.set_faults([Script("slow", op="sftp list", seconds=20, times=5)])
    hanging = [asyncio.create_task(panel.find_site(DOMAIN)) for _ in range(5)]
    async with asyncio.timeout(60):
        while not any(fired for *_, fired in sim.store.faults()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    await deploy(panel)

    assert not any(one.done() for one in hanging)
    ended = await asyncio.gather(*hanging, return_exceptions=True)
    assert {type(error) for error in ended} == {ProviderDown}
    await panel.aclose()


@pytest.mark.parametrize(
    "kind", ["fail", "execute_then_timeout", "execute_then_fail", "kill_before"]
)
@pytest.mark.parametrize("call", range(1, 16, 2))
async def test_a_restore_that_breaks_anywhere_leaves_old_or_new_and_ends_by_repeat(
    panel: CloudPanel, sim: Hosting, target: HostingTarget, kind: str, call: int
) -> None:
    await create(panel)
    await panel.deploy(
        site_user=USER, domain=DOMAIN, files={"index.php": b"old", "a/b.txt": b"old"}
    )
    archive = io.BytesIO()
    await panel.archive(site_user=USER, domain=DOMAIN, to=archive)
    await panel.unpack(
        site_user=USER, domain=DOMAIN, archive=io.BytesIO(archive.getvalue())
    )
    await deploy(panel, "new")
    sim.store.set_faults(
        [Script(kind, op="sftp *", at=call, seconds=0, victim="nobody")]
    )

    async def restore() -> None:
        archive.seek(0)
        await panel.unpack(site_user=USER, domain=DOMAIN, archive=archive)

    docroot = target.home / USER / "htdocs" / DOMAIN
    try:
        await restore()
    except ProviderDown:
        assert (docroot / "index.php").read_text() in {"new", "old"}
        assert (docroot / "a" / "b.txt").read_text() == "old"
        await restore()

    assert (docroot / "index.php").read_text() == "old"
    sim.store.set_faults([])
    again = io.BytesIO()
    await panel.archive(site_user=USER, domain=DOMAIN, to=again)
    assert again.getvalue() == archive.getvalue()


async def test_a_yes_without_a_site_is_no_yes(tmp_path: Path, keys: Keys) -> None:
    (tmp_path / "home").mkdir()
    liar = await asyncssh.create_server(
        asyncssh.SSHServer,
        "127.0.0.1",
        0,
        server_host_keys=[str(keys.host_key)],
        authorized_client_keys=str(keys.authorized_keys),
        process_factory=lambda process: process.exit(0),
        sftp_factory=lambda chan: asyncssh.SFTPServer(chan, chroot=bytes(tmp_path)),
    )
    target = HostingTarget(liar.get_port(), "", tmp_path / "home", keys, None)
    panel = panel_of(target, keys)

    with pytest.raises(ProviderDown) as failure:
        await create(panel)

    await panel.aclose()
    liar.close()
    await liar.wait_closed()
    assert failure.value.code == "garbage"


async def test_a_connection_that_broke_while_idle_is_not_used_again(
    panel: CloudPanel, sim: Hosting
) -> None:
    await create(panel)
    await sim.ssh.stop()
    await sim.ssh.start()

    assert await panel.find_site(DOMAIN) == FoundSite(DOMAIN, USER)


async def test_a_writer_that_vanished_leaves_no_deployment(
    target: HostingTarget, sim: Hosting
) -> None:
    doomed = panel_of(target, target.keys)
    await create(doomed)
    server = doomed._server
    connection = await server._connection()
    client = await connection.start_sftp_client()
    file = await client.open(f"/home/{USER}/htdocs/{DOMAIN}/x.bin", "wb", encoding=None)
    await file.write(b"half")

    connection.abort()
    await connection.wait_closed()
    await asyncio.sleep(0.2)

    assert effects(sim) == [CREATED]


async def test_unknown_and_missing_options_and_commands_are_refused(
    panel: CloudPanel, sim: Hosting
) -> None:
    run = panel._server.run
    site = (f"--domainName={DOMAIN}", f"--siteUser={USER}", "--siteUserPassword=p")

    assert (await run("clpctl", "site:add:static", *site[:2])).exit_status == 1
    assert (await run("clpctl", "site:add:static", *site, "--x=1")).exit_status == 1
    assert (await run("clpctl", "site:add:php", *site)).exit_status == 1
    assert (await run("clpctl", "no:such")).exit_status == 127
    assert (await run("rm", "-rf", "/home")).exit_status == 127
    assert (await run("clpctl", "site:add:static", *site)).exit_status == 0
    assert (await run("clpctl", "site:add:static", *site)).exit_status == 1
    assert (await run("clpctl", "site:delete", site[0])).exit_status == 1
    assert (await run("clpctl", "site:delete", site[0], "--force")).exit_status == 0
    assert (await run("clpctl", "site:delete", site[0], "--force")).exit_status == 1
    assert effects(sim) == [CREATED, ("site.deleted", DOMAIN)]
    assert [c["op"] for c in sim.store.calls()][-1] == "clpctl site:delete"


async def test_databases_and_users_are_added_once(
    panel: CloudPanel, sim: Hosting
) -> None:
    await create(panel)
    database = ("--databaseName=d", "--databaseUserName=d", "--databaseUserPassword=p")
    person = ("--userName=anna", "--email=a@b.test", "--firstName=A", "--lastName=B")
    run = panel._server.run

    for expected in (0, 1):
        added = await run("clpctl", "db:add", f"--domainName={DOMAIN}", *database)
        person_added = await run(
            "clpctl", "user:add", *person, "--password=p", "--role=user"
        )
        assert {added.exit_status, person_added.exit_status} == {expected}

    assert effects(sim)[1:] == [("database.created", "d"), ("user.created", "anna")]


async def test_nothing_half_made_survives_a_crash(tmp_path: Path, keys: Keys) -> None:
    home = tmp_path / "simulators" / "hosting" / "home"
    (home / "halfmade" / "htdocs" / "half.test").mkdir(parents=True)
    async with simulated_hosting(tmp_path, keys) as target:
        panel = panel_of(target, keys)
        assert await panel.find_site("half.test") is None
        await create(panel)
        await deploy(panel)
        await panel.aclose()

    async with simulated_hosting(tmp_path, keys) as again:
        panel = panel_of(again, keys)
        assert again.sim is not None
        assert await panel.find_site(DOMAIN) == FoundSite(DOMAIN, USER)
        assert effects(again.sim) == [CREATED, DEPLOYED]
        await panel.aclose()


async def test_all_simulators_run_in_one_process(tmp_path: Path, keys: Keys) -> None:
    ssh = {
        "ssh_port": 0,
        "host_key": str(keys.host_key),
        "authorized_keys": str(keys.authorized_keys),
    }
    config = {
        "data_dir": str(tmp_path),
        "powerdns": {"port": 0, "dns_port": 0, "api_key": "k"},
        "hosting": {"port": 0, "http_port": 0, **ssh},
        "backup_store": {"port": 0, **ssh},
        "mail": {"port": 0, "smtp_port": 0},
    }
    file = tmp_path / "simulators.json"
    file.write_text(json.dumps(config))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-W", "error", "-m", "simulators", "--config", str(file)),
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(90):
            lines = [(await process.stdout.readline()).decode() for _ in range(4)]
    finally:
        process.terminate()

    assert sorted(line.split()[1] for line in lines) == sorted(
        config.keys() - {"data_dir"}
    )
    assert await process.wait() == 0
