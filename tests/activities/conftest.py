"""A website with files, its hosting server and a backup store: simulators, in this
process, spoken to by the real clients."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from simulators import backup_store, hosting
from sqlmodel import select

from activities.backups import BackupActivities
from activities.calls import StepCall
from activities.effects import EffectLedger
from activities.gate import OpenGate
from activities.providers.backup_store import BackupStore
from activities.providers.cloudpanel import CloudPanel
from activities.providers.web_probe import WebProbe
from activities.store import Store
from models.backups import Backup, BackupPlan
from models.customers import Customer
from models.database import Database
from models.effects import Effect
from models.jobs import Job
from models.products import Product
from models.servers import Server
from models.states import JobKind, ServiceStatus
from models.subscriptions import Subscription
from models.tenants import MIGRAHOSTING
from models.vault import Vault
from models.websites import Website
from tests.providers.conftest import Keys, make_keys

EARLY = datetime(2026, 11, 22, 1, 2, 3, tzinfo=UTC)


class OneServer:
    """Every server is this one."""

    def __init__(self, panel: CloudPanel) -> None:
        self.panel = panel

    def of(self, server: Server) -> CloudPanel:
        return self.panel


class Noted:
    """Schedules that are only noted down."""

    def __init__(self) -> None:
        self.standing: set[UUID] = set()

    async def put(self, website_id: UUID, tenant_id: UUID) -> str:
        self.standing.add(website_id)
        return f"backup:{website_id}"

    async def exists(self, website_id: UUID) -> bool:
        return website_id in self.standing

    async def remove(self, website_id: UUID) -> None:
        self.standing.discard(website_id)


@dataclass
class Bench:
    """One active website with a backup plan, and the activities to try on it."""

    db: Database
    panel: CloudPanel
    hosting: hosting.Hosting
    store: backup_store.BackupStore
    schedules: Noted
    website: Website
    plan: BackupPlan
    do: BackupActivities

    @property
    def docroot(self) -> Path:
        """The site's files, as a visitor gets them."""
        user, domain = self.website.site_user, self.website.domain
        return self.hosting.tree / "home" / user / "htdocs" / domain

    async def create_site(self) -> None:
        await self.panel.create_site(
            domain=self.website.domain,
            site_user=self.website.site_user,
            password="s3cret-of-the-site",
            kind="static",
        )

    async def job(
        self,
        kind: JobKind,
        subject_id: UUID | None = None,
        *,
        exclusive: bool = False,
        **input: str,
    ) -> StepCall:
        """A pending job of that kind, and the call of one of its steps."""
        job = Job(
            tenant_id=MIGRAHOSTING,
            kind=kind,
            subject_id=subject_id or self.website.id,
            exclusive=exclusive,
            input=input,
            created_at=EARLY,
        )
        async with self.db.tenant(MIGRAHOSTING) as session:
            session.add(job)
            await session.commit()
        return StepCall(
            job_id=job.id,
            tenant_id=MIGRAHOSTING,
            subject_id=job.subject_id,
            generation=1,
            step="step",
            patience=60,
        )

    async def back_up(self) -> Backup:
        """A whole backup, as its workflow does it."""
        call = await self.job(JobKind.WEBSITE_BACKUP)
        await self.do.archive_site(call)
        assert await self.do.keep_backup(call)
        await self.do.expire_backups(call)
        return await self.backup_of(call)

    async def backup_of(self, call: StepCall) -> Backup:
        """The backup of the call's job."""
        found: list[Backup] = await self.rows(Backup, job_id=call.job_id)
        [backup] = found
        return backup

    async def restore(self, backup: Backup) -> StepCall:
        """The call of a restoring job."""
        return await self.job(JobKind.WEBSITE_RESTORE, backup_id=str(backup.id))

    async def change(self, row: Any, **values: Any) -> None:
        """Writes values into a row."""
        async with self.db.platform() as session:
            fresh = await session.get_one(type(row), row.id)
            for name, value in values.items():
                setattr(fresh, name, value)
            await session.commit()

    async def rows(self, table: type[Any], **where: Any) -> list[Any]:
        """The rows with these values."""
        async with self.db.platform() as session:
            query = select(table).filter_by(**where)
            return list((await session.exec(query)).all())

    async def fresh(self, row: Any) -> Any:
        """The row as it is now."""
        [found] = await self.rows(type(row), id=row.id)
        return found

    async def effect(self, kind: str) -> Effect:
        """The only effect of that kind."""
        found: list[Effect] = await self.rows(Effect, kind=kind)
        [effect] = found
        return effect

    def stored(self) -> list[str]:
        """What lies at the store, by name, partial files too."""
        root = self.store.tree / "archives"
        files = [path for path in root.rglob("*") if path.is_file()]
        return sorted(str(path.relative_to(root)) for path in files)

    def happened(self) -> list[str]:
        """What came and went at the store, in order."""
        effects = [str(one["effect"]) for one in self.store.store.effects()]
        return [effect for effect in effects if effect.startswith("archive.")]


@dataclass
class Machines:
    """The hosting server and the backup store, for all tests."""

    hosting: hosting.Hosting
    store: backup_store.BackupStore
    keys: Keys

    def access(self) -> dict[str, Any]:
        """How a client gets in."""
        return {
            "username": "root",
            "client_key": self.keys.client_key,
            "known_host_key": self.keys.host_line,
            "gate": OpenGate(),
            "timeout": 10,
        }


@pytest.fixture(scope="session")
async def machines(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Machines]:
    folder = tmp_path_factory.mktemp("machines")
    keys = make_keys(folder / "keys")
    settings = {
        "port": 0,
        "ssh_port": 0,
        "http_port": 0,
        "host_key": str(keys.host_key),
        "authorized_keys": str(keys.authorized_keys),
    }
    made = Machines(
        hosting.build(settings, folder), backup_store.build(settings, folder), keys
    )
    await made.hosting.start()
    await made.store.start()
    yield made
    await made.store.stop()
    await made.hosting.stop()


@pytest.fixture
async def bench(db: Database, vault: Vault, machines: Machines) -> AsyncIterator[Bench]:
    machines.hosting.reset()
    machines.store.reset()
    panel = CloudPanel("127.0.0.1", machines.hosting.ssh.port, **machines.access())
    archives = BackupStore(
        "127.0.0.1", machines.store.ssh.port, root="/archives", **machines.access()
    )
    probe, schedules = WebProbe(), Noted()
    server = Server(
        name="srv1",
        ssh_host="127.0.0.1",
        ssh_port=machines.hosting.ssh.port,
        host_key=machines.keys.host_line,
        http_address=f"127.0.0.1:{machines.hosting.web.port}",
        public_ip="192.0.2.10",
        capacity=10,
    )
    website, plan = await _sold(db, server)
    bench = Bench(
        db=db,
        panel=panel,
        hosting=machines.hosting,
        store=machines.store,
        schedules=schedules,
        website=website,
        plan=plan,
        do=BackupActivities(
            Store(db),
            EffectLedger(db, vault),
            vault,
            OneServer(panel),
            archives,
            schedules,
            probe,
        ),
    )
    await bench.create_site()
    yield bench
    await probe.aclose()
    await archives.aclose()
    await panel.aclose()


async def _sold(db: Database, server: Server) -> tuple[Website, BackupPlan]:
    """A live website of a customer, and a backup plan that is not yet enabled."""
    customer = Customer(tenant_id=MIGRAHOSTING, email="ada@example.com")
    product = Product(
        tenant_id=MIGRAHOSTING, code="p", sku="p", name="p", type="hosting"
    )
    hosted, added = (
        Subscription(
            tenant_id=MIGRAHOSTING,
            customer_id=customer.id,
            product_id=product.id,
            product_type=kind,
            billing_cycle="monthly",
        )
        for kind in ("hosting", "addon")
    )
    website = Website(
        tenant_id=MIGRAHOSTING,
        customer_id=customer.id,
        subscription_id=hosted.id,
        domain=f"{uuid4().hex[:8]}.test",
        site_kind="static",
        server_id=server.id,
        status=ServiceStatus.ACTIVE,
        live_at=EARLY - timedelta(days=1),
    )
    plan = BackupPlan(
        tenant_id=MIGRAHOSTING,
        customer_id=customer.id,
        subscription_id=added.id,
        website_id=website.id,
        days=30,
    )
    async with db.platform() as session:
        for rows in ([server, customer, product], [hosted, added], [website], [plan]):
            session.add_all(rows)
            await session.flush()
        await session.commit()
    return website, plan
