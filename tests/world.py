"""A small world for tests: real PostgreSQL, real Temporal, a real worker in this
process, and simulators that speak the providers' protocols."""

import asyncio
import base64
import contextlib
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import asyncssh
import httpx
from pydantic import SecretStr
from simulators import backup_store, hosting, mail, powerdns, proxmox
from simulators import stripe as stripe_simulator
from simulators.core import Simulator
from sqlmodel import select
from temporalio.client import Client

from activities.calls import JobRef
from models.backups import BackupPlan
from models.database import Database, asking
from models.jobs import Job
from models.ordering import Line, OrderRequest, RepeatKey
from models.orders import Order
from models.queries.orders import place
from models.seed import seed_catalogue
from models.servers import Server
from models.states import CLOUDPOD_ACTS, OPEN_JOBS, JobKind, JobStatus
from models.tenants import MIGRAHOSTING
from models.websites import Website
from tests.dev.program import PATIENT
from workers.build import build
from workers.loops import Loop, listen
from workers.progress import ProgressWriter
from workers.reconcile import Reconciler
from workers.run import loops_of
from workers.settings import WorkerSettings
from workers.steps import StepInterceptor
from workers.wiring import Wired, wire
from workflows.engine.plugin import engine_plugin
from workflows.names import life_id
from workflows.queues import ALL, node_queue
from workflows.schedules import BackupSchedules

T = TypeVar("T")
Activity = Callable[..., Any]
STRIPE_KEY = "sk_test_simulated1234"
POWERDNS_KEY = "powerdns-test-key"
PVE_TOKEN, PVE_SECRET = "mpanel@pve!tests", "the-token-of-the-tests"
NODE_QUEUES = tuple(node_queue(name) for name in ("pve1", "pve2", "pve3"))
DOMAIN = "sites.example.net"
VAULT_KEY = f"v1:{base64.b64encode(bytes(range(32))).decode()}"
GROWTH = (("wp_growth", "hosting"), ("daily_backups_30d", "addon"))


@dataclass(frozen=True)
class Keys:
    """What opens the simulators; mail is taken from anybody, unless it has one."""

    stripe: str = STRIPE_KEY
    powerdns: str = POWERDNS_KEY
    proxmox: str = PVE_SECRET
    mail: str = ""


@dataclass
class Providers:
    """All simulators, and keys that open them."""

    stripe: Simulator
    powerdns: Any
    hosting: Any
    backup_store: Any
    mail: Any
    proxmox: Any
    folder: Path
    keys: Keys = Keys()

    @property
    def all(self) -> Sequence[Simulator]:
        return (
            self.stripe,
            self.powerdns,
            self.hosting,
            self.backup_store,
            self.mail,
            self.proxmox,
        )

    def __getitem__(self, name: str) -> Simulator:
        return {one.name: one for one in self.all}[name]


def _keys(folder: Path, name: str) -> tuple[Path, str]:
    path = folder / name
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(path)
    path.chmod(0o600)
    return path, key.export_public_key().decode().strip()


@contextlib.asynccontextmanager
async def providers(folder: Path, keys: Keys = Keys()) -> AsyncIterator[Providers]:
    """Every simulator on free ports, in this process."""
    hosting_key, _ = _keys(folder, "hosting_host_key")
    store_key, _ = _keys(folder, "store_host_key")
    _, client_line = _keys(folder, "client_key")
    allowed = folder / "authorized_keys"
    allowed.write_text(client_line + "\n")
    ssh = {"ssh_port": 0, "authorized_keys": str(allowed)}
    made = Providers(
        stripe=stripe_simulator.build({"port": 0, "api_key": keys.stripe}, folder),
        powerdns=powerdns.build(
            {"port": 0, "dns_port": 0, "api_key": keys.powerdns}, folder
        ),
        hosting=hosting.build(
            {"port": 0, "http_port": 0, "host_key": str(hosting_key), **ssh}, folder
        ),
        backup_store=backup_store.build(
            {"port": 0, "host_key": str(store_key), **ssh}, folder
        ),
        mail=mail.build({"port": 0, "smtp_port": 0, "password": keys.mail}, folder),
        proxmox=proxmox.build(
            {"port": 0, "token_id": PVE_TOKEN, "token_secret": keys.proxmox}, folder
        ),
        folder=folder,
        keys=keys,
    )
    for simulator in made.all:
        await simulator.start()
    yield made
    for simulator in made.all:
        await simulator.stop()


def settings_for(made: Providers, database_url: str, **changed: Any) -> WorkerSettings:
    """What a worker in this world reads."""
    return WorkerSettings(
        **{
            "database_url": SecretStr(database_url),
            "encryption_keys": SecretStr(VAULT_KEY),
            "platform_domain": DOMAIN,
            "public_url": "http://panel.example.net",
            "stripe_api_key": SecretStr(made.keys.stripe),
            "stripe_api_base": made.stripe.url,
            "proxmox_url": made.proxmox.api_url,
            "proxmox_token_id": PVE_TOKEN,
            "proxmox_token_secret": SecretStr(made.keys.proxmox),
            "proxmox_ca_file": made.proxmox.ca_file,
            "powerdns_url": made.powerdns.url,
            "powerdns_api_key": SecretStr(made.keys.powerdns),
            "powerdns_dns_address": f"127.0.0.1:{made.powerdns.dns.port}",
            "hosting_ssh_key_file": made.folder / "client_key",
            "backup_store_url": f"sftp://backup@127.0.0.1:{made.backup_store.ssh.port}"
            "/backups",
            "backup_store_host_key": _public(made.folder / "store_host_key"),
            "smtp_url": SecretStr(_relay(made)),
            "mail_from": "panel@example.net",
            "operator_email": "operator@example.net",
            "reconcile_seconds": 2.0,
            "payments_seconds": 2.0,
        }
        | changed
    )


def _relay(made: Providers) -> str:
    login = f"panel:{made.keys.mail}@" if made.keys.mail else ""
    return f"smtp://{login}127.0.0.1:{made.mail.smtp_port}"


def _public(private: Path) -> str:
    key = asyncssh.read_private_key(private)
    return key.export_public_key().decode().strip()


class WorkerOfAWorld:
    """Workers and loops; they may be stopped, and started again."""

    def __init__(self, serve: Callable[[asyncio.Event], Coroutine[Any, Any, None]]):
        self._serve = serve
        self.start()

    def start(self) -> None:
        self._told_to_stop = asyncio.Event()
        self._serving = asyncio.create_task(self._serve(self._told_to_stop))

    async def stop(self) -> None:
        self._told_to_stop.set()
        await self._serving


@dataclass
class World:
    """One worker, its database, and what tests ask of them."""

    db: Database
    client: Client
    providers: Providers
    settings: WorkerSettings
    wired: Wired
    http: httpx.AsyncClient
    reconciler: Reconciler
    steps: StepInterceptor
    worker: WorkerOfAWorld = field(init=False)

    async def pay(
        self, amount: int, *, customer: str | None = None, **more: Any
    ) -> dict[str, Any]:
        """A payment at the Stripe simulator; gives customer and payment intent."""
        body = {"amount": amount, "currency": "usd", "email": "ada@example.com", **more}
        if customer:
            body["customer"] = customer
        made: dict[str, Any] = await self.control(
            "stripe", "POST", "payments", json=body
        )
        return made

    async def stripe(
        self, path: str, *, then_default: str | None = None, **form: Any
    ) -> dict[str, Any]:
        """POST to the Stripe simulator, as a checkout would."""
        url = f"{self.providers.stripe.url}/v1"
        key = {"Authorization": f"Bearer {self.providers.keys.stripe}"}
        answer = await self.http.post(f"{url}/{path}", data=form, headers=key)
        answer.raise_for_status()
        made: dict[str, Any] = answer.json()
        if then_default:
            default = {"invoice_settings[default_payment_method]": made["id"]}
            await self.http.post(
                f"{url}/customers/{then_default}", data=default, headers=key
            )
        return made

    async def control(
        self, provider: str, method: str, path: str, **kwargs: Any
    ) -> Any:
        """A control call to a simulator."""
        url = f"{self.providers[provider].url}/_simulator/{path}"
        answer = await self.http.request(method, url, **kwargs)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    async def fault(self, provider: str, *scripts: Mapping[str, Any]) -> None:
        """Sets the fault scripts of one provider."""
        await self.control(provider, "PUT", "faults", json=list(scripts))

    async def effects(self, provider: str) -> list[tuple[str, str]]:
        """(effect, key) of everything that happened there, in order."""
        ledger = await self.control(provider, "GET", "ledger")
        return [(one["effect"], one["key"]) for one in ledger["effects"]]

    async def calls(self, provider: str) -> list[dict[str, Any]]:
        """Every call that was made there."""
        ledger = await self.control(provider, "GET", "ledger")
        return list(ledger["calls"])

    async def sites(self) -> set[str]:
        """The domains that live on the hosting server now."""
        ledger = await self.control("hosting", "GET", "ledger")
        return {one["domain"] for one in ledger["objects"].get("site", [])}

    async def order(
        self,
        *items: tuple[str, str],
        customer: str | None,
        email: str = "ada@example.com",
        key: str | None = None,
        tenant_id: UUID = MIGRAHOSTING,
        **more: Any,
    ) -> Order:
        """Places an order as the webhook does, and wakes the sweep."""
        request = OrderRequest(
            source="test",
            email=email,
            lines=tuple(Line(code, kind) for code, kind in items or GROWTH),
            stripe_customer_id=customer,
            **more,
        )
        async with self.db.platform() as session:
            placed = await place(
                asking(session),
                tenant_id,
                request,
                key=RepeatKey(key) if key else None,
                platform_domain=DOMAIN,
            )
            await session.commit()
            return await session.get_one(Order, placed.order_id)

    async def job_of(self, order: Order) -> Job:
        """The order's root job."""
        async with self.db.platform() as session:
            return (
                await session.exec(
                    select(Job).where(
                        Job.subject_id == order.id, Job.kind == JobKind.FULFIL_ORDER
                    )
                )
            ).one()

    async def jobs(self, order: Order) -> dict[str, Job]:
        """All jobs of an order by kind; the root is `fulfil_order`."""
        async with self.db.platform() as session:
            found = (
                await session.exec(select(Job).where(Job.order_id == order.id))
            ).all()
        return {str(job.kind): job for job in found}

    async def read(self, table: type[T], id: Any) -> T:
        """A fresh row."""
        async with self.db.platform() as session:
            return await session.get_one(table, id)

    async def ended(self, job: Job, *, within: float = PATIENT) -> Job:
        """The job when it is no longer open."""
        return await self.until(
            lambda: self.read(Job, job.id),
            lambda one: one.status not in OPEN_JOBS,
            within=within,
        )

    async def parked(self, job: Job, *, within: float = PATIENT) -> Job:
        """The job when it needs attention."""
        return await self.until(
            lambda: self.read(Job, job.id),
            lambda one: one.status == JobStatus.NEEDS_ATTENTION,
            within=within,
        )

    async def until(
        self,
        read: Callable[[], Awaitable[T]],
        holds: Callable[[T], bool],
        *,
        within: float = PATIENT,
    ) -> T:
        """What was read when it holds; AssertionError tells the last state."""
        deadline = time.monotonic() + within
        while not holds(state := await read()):
            assert time.monotonic() < deadline, f"still {state!r} after {within} s"
            await asyncio.sleep(0.05)
        return state

    async def website_of(self, order: Order) -> Website:
        """The website of the order's first hosting line."""
        job = (await self.jobs(order))[JobKind.WEBSITE_PROVISION]
        return await self.read(Website, job.subject_id)

    async def page(self, domain: str) -> httpx.Response:
        """What a visitor of the domain sees."""
        return await self.http.get(
            f"http://127.0.0.1:{self.providers.hosting.web.port}/",
            headers={"Host": domain},
        )

    async def reset(self) -> None:
        """Ends this test's runs and forgets what the simulators did."""
        async with self.db.platform() as session:
            jobs = (await session.exec(select(Job))).all()
            planned = (await session.exec(select(BackupPlan.website_id))).all()
        acts = [job for job in jobs if job.kind in CLOUDPOD_ACTS]
        # A life whose act is ended begins the next one, so it goes first.
        lives = {life_id(act.subject_id) for act in acts}
        for run in (*lives, *(job.workflow_id for job in jobs)):
            with contextlib.suppress(Exception):
                await self.client.get_workflow_handle(run).terminate("end of the test")
        for website in planned:
            if website is not None:
                with contextlib.suppress(Exception):
                    await BackupSchedules(self.client).remove(website)


async def _serve(
    world: World,
    stop: asyncio.Event,
    queues: Sequence[str],
    progress: ProgressWriter | None,
    loops: list[Loop],
) -> None:
    workers = build(
        world.client,
        world.wired.activities,
        queues=queues,
        interceptor=world.steps,
        rates=world.settings.rates,
        drain=0.5,
    )
    background = [
        asyncio.create_task(listen(world.db.url, loops)),
        *(asyncio.create_task(one.run()) for one in loops),
    ]
    if progress is not None:
        background.append(asyncio.create_task(progress.run()))
    async with contextlib.AsyncExitStack() as running:
        for worker in workers:
            await running.enter_async_context(worker)
        await stop.wait()
    for task in background:
        task.cancel()
    await asyncio.gather(*background, return_exceptions=True)


@contextlib.asynccontextmanager
async def world(
    made: Providers,
    db: Database,
    target: str,
    *,
    namespace: str = "default",
    progress_lost: bool = False,
    queues: Sequence[str] = ALL,
    around: Callable[[Activity], Activity] | None = None,
    **changed: Any,
) -> AsyncIterator[World]:
    """A world with its worker at work. `changed`: settings that differ.

    `queues`: those that its worker serves; the loops run in any case.
    `around`: what is run in place of each activity.
    """
    settings = settings_for(made, db.url, **changed)
    client = await Client.connect(
        target, namespace=namespace, plugins=[engine_plugin(sandboxed=False)]
    )
    wired = wire(settings, client, db)
    if around is not None:
        wired.activities = [around(one) for one in wired.activities]
    await _server_row(db, made)
    async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
        for simulator in made.all:
            await http.post(f"{simulator.url}/_simulator/reset")
        progress = ProgressWriter(db)
        steps = StepInterceptor(
            progress,
            patience=settings.patience_seconds,
            undo_patience=settings.undo_patience_seconds,
            longest_wait=settings.longest_wait_seconds,
        )
        loops, reconciler = loops_of(settings, client, db, wired)
        it = World(db, client, made, settings, wired, http, reconciler, steps)
        it.worker = WorkerOfAWorld(
            lambda stop: _serve(
                it, stop, queues, None if progress_lost else progress, loops
            )
        )
        try:
            yield it
        finally:
            await it.reset()
            await it.worker.stop()
            await it.reset()  # what was begun meanwhile would go on in the next world
    for close in wired.closing:
        await close()


async def _server_row(db: Database, made: Providers) -> None:
    async with db.platform() as session:
        await seed_catalogue(session, MIGRAHOSTING)
        session.add(
            Server(
                name="srv1",
                ssh_host="127.0.0.1",
                ssh_port=made.hosting.ssh.port,
                host_key=_public(made.folder / "hosting_host_key"),
                http_address=f"127.0.0.1:{made.hosting.web.port}",
                public_ip="192.0.2.10",
                capacity=1000,
            )
        )
        await session.commit()


__all__ = ["GROWTH", "JobRef", "Providers", "World", "providers", "world"]
