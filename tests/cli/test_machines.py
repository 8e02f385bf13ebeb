"""`mpanel setup`, `server` and `pool`: from empty tables to what can be placed."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlmodel import SQLModel, select

from models.addresses import Address, Vmid
from models.base import utc_now
from models.cloudpods import CloudPod
from models.database import Database
from models.effects import Effect
from models.jobs import Job
from models.products import Product
from models.queries.addresses import give_back, lease_address, lease_vmid
from models.servers import PROXMOX, Server
from models.states import AddressStatus, EffectState, JobKind, JobStatus, ServiceStatus
from models.tenants import MIGRAHOSTING
from tests.api import rows
from tests.api.audited import told
from tests.cli.mpanel import mpanel
from tests.conftest import Cluster
from workers.dev.layout import APP_ROLE

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIHahmvoXyBp6TjpPgZeY4jMAfS7wfdFbuBuW4cmAXLY"
WEB = ("--host", "web1.internal", "--host-key", KEY, "--capacity", "9")
PUBLIC = ("--public-ip", "203.0.113.5")


async def test_a_fresh_installation_has_its_tenant_and_what_it_sells(
    db: Database, app_url: str
) -> None:
    first = mpanel(app_url, "setup")
    assert (first.returncode, first.stderr) == (0, "")
    async with db.platform() as session:
        names = {row.code for row in (await session.exec(select(Product))).all()}
        await session.exec(
            text("update products set name = 'Ours' where code = 'starter'")
        )
        await session.commit()
    assert "starter" in names

    assert mpanel(app_url, "setup").stdout == "Nothing was missing.\n"
    async with db.platform() as session:
        kept = await session.exec(select(Product).where(Product.code == "starter"))
        assert kept.one().name == "Ours"


async def test_servers_join_once_and_the_audit_log_tells(
    db: Database, app_url: str
) -> None:
    web = ("server", "add", "web1", *WEB, *PUBLIC)
    assert mpanel(app_url, *web).returncode == 0
    node = ("node", "add", "pve1", "--memory", "61440", "--cores", "16")
    assert mpanel(app_url, *node).returncode == 0
    again = mpanel(app_url, *web)
    assert (again.returncode, again.stderr) == (1, "there is a server web1 already\n")

    async with db.platform() as session:
        rows = await session.exec(select(Server).order_by(Server.name))
        pve1, web1 = rows.all()
    assert (pve1.role, pve1.memory, pve1.cores) == (PROXMOX, 61_440, 16)
    assert (web1.ssh_port, web1.http_address) == (22, "203.0.113.5:80")
    assert (web1.role, web1.capacity, web1.status) == ("hosting", 9, "online")
    assert [one.action for one in await told(db)] == ["server.added"] * 2


async def change(db: Database, of: type[SQLModel], row_id: UUID, **to: Any) -> None:
    async with db.platform() as session:
        (await session.get_one(of, row_id)).sqlmodel_update(to)
        await session.commit()


async def test_a_machine_is_forgotten_once_nothing_needs_it(
    db: Database, app_url: str
) -> None:
    node = ("node", "add", "pve1", "--memory", "61440", "--cores", "16")
    assert mpanel(app_url, *node).returncode == 0
    async with db.platform() as session:
        server = (await session.exec(select(Server))).one()
    plan, buyer = rows.cloudpod_product(), rows.customer()
    owned = rows.subscription(buyer, plan)
    pod = rows.cloudpod(owned, plan, server_id=server.id)
    resize = rows.job(kind=JobKind.CLOUDPOD_RESIZE, subject_id=pod.id)
    await rows.add(db, plan, buyer, owned, pod, resize)

    def refused() -> str:
        said = mpanel(app_url, "node", "remove", "pve1")
        assert said.returncode == 1
        return said.stderr

    assert "drain it first" in refused()
    await change(db, Server, server.id, draining=True)
    assert "carries 1 CloudPods" in refused()
    await change(db, CloudPod, pod.id, status=ServiceStatus.TERMINATED)
    assert f"the job {resize.id}" in refused()
    await change(db, Job, resize.id, status=JobStatus.FAILED)
    guest = Effect(
        tenant_id=MIGRAHOSTING,
        job_id=resize.id,
        owner_id=pod.id,
        provider="proxmox",
        kind="guest",
        reference=str(pod.id),
        state=EffectState.REMOVED,
        facts={"node": "pve1"},
        check_at=utc_now(),
    )
    await rows.add(db, guest)
    assert "is looked for again at" in refused()
    await change(db, Effect, guest.id, check_at=None)

    assert mpanel(app_url, "node", "remove", "pve1").returncode == 0

    async with db.platform() as session:
        assert (await session.exec(select(Server))).all() == []
        assert (await session.get_one(CloudPod, pod.id)).server_id is None
    assert [one.action for one in await told(db)][-1] == "server.removed"
    assert refused() == "there is no machine pve1\n"
    assert mpanel(app_url, *node).returncode == 0


async def test_cloudpods_get_addresses_and_vmids_once(
    db: Database, app_url: str
) -> None:
    pool = ("pool", "add", "pods", "198.51.100.0/29", "--gateway", "198.51.100.1")
    vmids = ("pool", "vmids", "10000", "10004")
    assert mpanel(app_url, *pool).returncode == 0
    assert mpanel(app_url, *vmids).returncode == 0
    async with db.platform() as session:
        ips = (await session.exec(select(Address))).all()
        numbers = (await session.exec(select(Vmid))).all()
    assert len(ips) == 5
    assert "198.51.100.1" not in {row.ip for row in ips}
    assert {row.vmid for row in numbers} == set(range(10_000, 10_005))
    assert {row.status for row in (*ips, *numbers)} == {AddressStatus.FREE}

    again = mpanel(app_url, *vmids)
    assert (again.returncode, "already" in again.stderr) == (1, True)
    assert "Traceback" not in again.stderr
    wrong = mpanel(app_url, "pool", "add", "x", "10.0.0.0/24", "--gateway", "10.1.0.1")
    assert wrong.returncode == 1
    assert "does not lie in" in wrong.stderr


async def test_a_pool_grows_and_none_overlaps_another(
    db: Database, app_url: str
) -> None:
    pool = ("pool", "add", "six", "2001:db8::/64", "--gateway", "fe80::1", "--count")
    assert mpanel(app_url, *pool, "2").returncode == 0

    assert mpanel(app_url, *pool, "5").returncode == 0
    assert mpanel(app_url, *pool, "3").returncode == 0
    wider = mpanel(app_url, "pool", "add", "all", "2001:db8::/56", "--gateway=fe80::1")
    other = mpanel(app_url, *pool[:3], "2001:db8:1::/64", "--gateway", "fe80::1")

    assert (wider.returncode, other.returncode) == (1, 1)
    assert wider.stderr == "2001:db8::/56 overlaps the pool six, of 2001:db8::/64\n"
    assert other.stderr == "there is a pool six already, of 2001:db8::/64\n"
    async with db.platform() as session:
        ips = (await session.exec(select(Address.ip))).all()
    assert sorted(ips) == [f"2001:db8::{n}" for n in range(1, 6)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("pool", "vmids", "10004", "10000"), "want the smaller one first"),
        (
            ("pool", "add", "one", "192.0.2.1/32", "--gateway", "192.0.2.1"),
            "no address beside its gateway",
        ),
        (
            ("node", "add", "pve1", "--memory", "99999999999", "--cores", "1"),
            "less than or equal",
        ),
        (("node", "add", " ", "--memory", "9", "--cores", "1"), "want a name"),
        (
            ("server", "add", "web1", *WEB, "--public-ip", "web1.example"),
            "want an IPv4 address",
        ),
        (
            ("server", "add", "web1", *WEB, "--host-key=ssh-ed25519 AAAA", *PUBLIC),
            "not a whole",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_plain_words(
    db: Database, app_url: str, words: tuple[str, ...], said: str
) -> None:
    refused = mpanel(app_url, *words)

    assert refused.returncode in (1, 2)
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr


async def test_pools_tell_what_is_left_of_them(db: Database, app_url: str) -> None:
    four = ("pool", "add", "pods", "198.51.100.0/29", "--gateway", "198.51.100.1")
    six = ("pool", "add", "six", "2001:db8::/64", "--gateway", "fe80::1", "--count=3")
    for command in (six, four, ("pool", "vmids", "10000", "10004")):
        assert mpanel(app_url, *command).returncode == 0
    owners = [uuid4(), uuid4()]
    async with db.platform() as session:
        for owner in owners:
            await lease_address(session, owner, family=4)
            await lease_address(session, owner, family=6)
            await lease_vmid(session, owner)
        await give_back(session, owners[0])
        await session.commit()

    said = mpanel(app_url, "pool", "list")

    assert [line.split() for line in said.stdout.splitlines()[1:]] == [
        ["pods", "198.51.100.0/29", "198.51.100.1", "3", "1", "1"],
        ["six", "2001:db8::/64", "fe80::1", "1", "1", "1"],
        ["VMIDs", "10000", "to", "10004", "3", "1", "1"],
    ]


def test_a_gateway_of_the_other_family_is_refused(app_url: str, db: Database) -> None:
    wrong = mpanel(app_url, "pool", "add", "x", "10.0.0.0/24", "--gateway", "fe80::1")
    assert (wrong.returncode, "does not lie in" in wrong.stderr) == (1, True)


def test_a_queue_that_nobody_fills_is_refused(app_url: str) -> None:
    refused = mpanel(app_url, "worker", "hosting", "mail")
    assert refused.returncode == 2
    assert refused.stderr.startswith("no queue mail: want stories, ")


def test_tables_that_are_not_there_yet_are_no_traceback(cluster: Cluster) -> None:
    said = mpanel(cluster.url(APP_ROLE, "postgres"), "pool", "list")

    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.startswith("The database refuses, or is away: relation")
    assert said.stderr.count("\n") == 1
