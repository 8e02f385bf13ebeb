"""Each provider client runs against the simulator and against the real server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import pytest
from simulators import backup_store, hosting, powerdns

from activities.gate import OpenGate
from activities.providers.backup_store import BackupStore
from activities.providers.cloudpanel import CloudPanel
from activities.providers.powerdns import PowerDns
from tests.real_servers.pdns import pdns_server
from tests.real_servers.sshd import nginx, sshd

BOTH = ["simulator", pytest.param("real", marks=pytest.mark.real)]
API_KEY = "powerdns-test-key"


@dataclass(frozen=True)
class Keys:
    """Key files, and the host key as a line."""

    host_key: Path
    client_key: Path
    authorized_keys: Path
    host_line: str


@dataclass(frozen=True)
class DnsTarget:
    """A running PowerDNS."""

    url: str
    dns_port: int


@dataclass(frozen=True)
class HostingTarget:
    """A running hosting server; `home` is its /home, seen from here."""

    ssh_port: int
    web: str
    home: Path
    keys: Keys
    sim: hosting.Hosting | None


@dataclass(frozen=True)
class StoreTarget:
    """A running backup store; `folder` is its `root`, seen from here."""

    ssh_port: int
    root: str
    folder: Path
    keys: Keys
    sim: backup_store.BackupStore | None


def make_keys(folder: Path) -> Keys:
    """A host key and a client key of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    host, client = folder / "host_key", folder / "client_key"
    for path in (host, client):
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(path)
        key.write_public_key(path.with_suffix(".pub"))
        path.chmod(0o600)
    line = host.with_suffix(".pub").read_text().strip()
    return Keys(host, client, client.with_suffix(".pub"), line)


@pytest.fixture(scope="session", params=BOTH)
async def nameserver(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[DnsTarget]:
    folder = tmp_path_factory.mktemp("pdns")
    if request.param == "real":
        async with pdns_server(folder, API_KEY) as (port, dns_port):
            yield DnsTarget(f"http://127.0.0.1:{port}", dns_port)
        return
    settings = {"port": 0, "dns_port": 0, "api_key": API_KEY}
    sim = powerdns.build(settings, folder)
    await sim.start()
    yield DnsTarget(sim.url, sim.dns.port)
    await sim.stop()


@pytest.fixture
async def pdns(nameserver: DnsTarget) -> AsyncIterator[PowerDns]:
    client = PowerDns(nameserver.url, API_KEY, gate=OpenGate())
    yield client
    await client.aclose()


@pytest.fixture(scope="session", params=BOTH)
async def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[HostingTarget]:
    folder = tmp_path_factory.mktemp("hosting")
    keys = make_keys(folder / "keys")
    if request.param == "real":
        home = folder / "home"
        home.mkdir()
        async with (
            nginx(folder) as web,
            sshd(
                folder,
                host_key=keys.host_key,
                authorized_keys=keys.authorized_keys,
                home=home,
            ) as port,
        ):
            yield HostingTarget(port, f"127.0.0.1:{web}", home, keys, None)
        return
    async with simulated_hosting(folder, keys) as target:
        yield target


@asynccontextmanager
async def simulated_hosting(folder: Path, keys: Keys) -> AsyncIterator[HostingTarget]:
    """The simulator alone, on the tree and with the ledger of that folder."""
    sim = hosting.build(
        {
            "port": 0,
            "ssh_port": 0,
            "http_port": 0,
            "host_key": str(keys.host_key),
            "authorized_keys": str(keys.authorized_keys),
        },
        folder,
    )
    await sim.start()
    web_address = f"127.0.0.1:{sim.web.port}"
    yield HostingTarget(sim.ssh.port, web_address, sim.tree / "home", keys, sim)
    await sim.stop()


@pytest.fixture
async def panel(server: HostingTarget) -> AsyncIterator[CloudPanel]:
    client = panel_of(server, server.keys)
    yield client
    await client.aclose()


def panel_of(server: HostingTarget, keys: Keys, *, timeout: float = 60) -> CloudPanel:
    """A client that trusts and shows the keys given."""
    return CloudPanel(
        "127.0.0.1",
        server.ssh_port,
        username="root",
        client_key=keys.client_key,
        known_host_key=keys.host_line,
        gate=OpenGate(),
        timeout=timeout,
    )


@pytest.fixture(scope="session", params=BOTH)
async def vault(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[StoreTarget]:
    folder = tmp_path_factory.mktemp("vault")
    keys = make_keys(folder / "keys")
    if request.param == "real":
        root = folder / "archives"
        root.mkdir()
        async with sshd(
            folder, host_key=keys.host_key, authorized_keys=keys.authorized_keys
        ) as port:
            yield StoreTarget(port, str(root), root, keys, None)
        return
    sim = backup_store.build(
        {
            "port": 0,
            "ssh_port": 0,
            "host_key": str(keys.host_key),
            "authorized_keys": str(keys.authorized_keys),
        },
        folder,
    )
    await sim.start()
    yield StoreTarget(sim.ssh.port, "/archives", sim.tree / "archives", keys, sim)
    await sim.stop()


@pytest.fixture
async def store(vault: StoreTarget) -> AsyncIterator[BackupStore]:
    client = BackupStore(
        "127.0.0.1",
        vault.ssh_port,
        username="root",
        client_key=vault.keys.client_key,
        known_host_key=vault.keys.host_line,
        root=vault.root,
        gate=OpenGate(),
        timeout=60,
    )
    yield client
    await client.aclose()
