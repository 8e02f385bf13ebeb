"""The composition root: the one place where clients are made and handed out."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import UUID

from temporalio.client import Client

from activities.backups import BackupActivities
from activities.dns import DnsActivities
from activities.effects import EffectLedger
from activities.jobs import JobActivities
from activities.orders import OrderActivities
from activities.providers.backup_store import BackupStore
from activities.providers.cloudpanel import CloudPanel
from activities.providers.powerdns import PowerDns
from activities.providers.smtp import Mailer
from activities.providers.stripe import StripeAccount
from activities.providers.web_probe import WebProbe
from activities.refunds import RefundActivities
from activities.store import Store
from activities.websites import WebsiteActivities
from models.database import Database
from models.effects import Effect
from models.queries.services import plan_of
from models.servers import Server
from models.vault import Vault
from models.websites import site_user
from workers.gates import AccountGates
from workers.orphans import Listings, Orphans
from workers.rechecks import Check, Rechecks
from workers.relay import Relay
from workers.settings import WorkerSettings
from workers.stripe_watch import StripeWatch
from workflows.schedules import BackupSchedules


class CloudPanels:
    """One client per hosting server, made when it is first needed."""

    def __init__(self, settings: WorkerSettings, gates: AccountGates) -> None:
        self._key, self._gates = settings.hosting_ssh_key_file, gates
        self._made: dict[tuple[str, int, str], CloudPanel] = {}

    def of(self, server: Server) -> CloudPanel:
        """The client; a changed address or host key makes a new one."""
        at = (server.ssh_host, server.ssh_port, server.host_key)
        if at not in self._made:
            self._made[at] = CloudPanel(
                server.ssh_host,
                server.ssh_port,
                username=server.ssh_user,
                client_key=self._key,
                known_host_key=server.host_key,
                gate=self._gates.of(f"hosting:{server.name}"),
            )
        return self._made[at]

    async def aclose(self) -> None:
        """Ends every connection."""
        for made in self._made.values():
            await made.aclose()


@dataclass
class Wired:
    """Everything a worker process runs."""

    db: Database
    gates: AccountGates
    activities: list[Callable[..., Any]]
    relay: Relay
    stripe_watch: StripeWatch
    rechecks: Rechecks
    orphans: Orphans
    stripe: StripeAccount
    schedules: BackupSchedules
    closing: list[Callable[[], Any]]

    async def aclose(self) -> None:
        """Closes the clients, then the database."""
        for close in self.closing:
            await close()
        await self.db.close()


def wire(settings: WorkerSettings, client: Client, db: Database) -> Wired:
    """Builds the clients from the settings and joins them to the activities."""
    vault = Vault.parse(settings.encryption_keys.get_secret_value())
    gates = AccountGates(db)
    store, effects = Store(db), EffectLedger(db, vault)
    key = settings.stripe_api_key.get_secret_value()
    stripe = StripeAccount(
        key, api_base=settings.stripe_api_base, gate=gates.of(f"stripe:{key[-4:]}")
    )
    names = PowerDns(
        settings.powerdns_url,
        settings.powerdns_api_key.get_secret_value(),
        gate=gates.of("powerdns"),
    )
    panels, probe = CloudPanels(settings, gates), WebProbe()
    archives = _backup_store(settings, gates)
    mailer = _mailer(settings, gates)
    schedules = BackupSchedules(client)
    orders = OrderActivities(store, stripe)
    refunds = RefundActivities(store, stripe)
    websites = WebsiteActivities(store, effects, panels, probe)
    dns = DnsActivities(store, effects, names, platform_domain=settings.platform_domain)
    backups = BackupActivities(
        store, effects, vault, panels, archives, schedules, probe
    )
    jobs = JobActivities(db)
    relay = Relay(
        db,
        mailer,
        operator=(
            settings.operator_email,
            settings.operator_webhook_url,
            settings.operator_webhook_secret.get_secret_value()
            if settings.operator_webhook_secret
            else None,
        ),
        public_url=settings.public_url,
        domain=settings.platform_domain,
    )
    watch = StripeWatch(
        db,
        client,
        stripe,
        unclaimed_after=timedelta(seconds=settings.unclaimed_after_seconds),
        platform_domain=settings.platform_domain,
    )
    return Wired(
        db=db,
        gates=gates,
        activities=_defined(orders, refunds, websites, dns, backups, jobs),
        relay=relay,
        stripe_watch=watch,
        rechecks=Rechecks(db, _checks(db, panels, names, archives, schedules)),
        orphans=Orphans(
            db,
            Listings(lambda server: panels.of(server).site_users(), names.ours),
            every=settings.orphans_seconds,
        ),
        stripe=stripe,
        schedules=schedules,
        closing=[
            stripe.aclose,
            names.aclose,
            panels.aclose,
            probe.aclose,
            archives.aclose,
            relay.aclose,
        ],
    )


def _defined(*holders: object) -> list[Callable[..., Any]]:
    """The bound activity methods of each holder."""
    return [
        getattr(holder, name)
        for holder in holders
        for name, member in vars(type(holder)).items()
        if hasattr(member, "__temporal_activity_definition")
    ]


def _backup_store(settings: WorkerSettings, gates: AccountGates) -> BackupStore:
    at = urlsplit(settings.backup_store_url)
    return BackupStore(
        at.hostname or "",
        at.port or 22,
        username=unquote(at.username or "root"),
        client_key=settings.hosting_ssh_key_file,
        known_host_key=settings.backup_store_host_key,
        root=at.path or "/",
        gate=gates.of("backup_store"),
    )


def _mailer(settings: WorkerSettings, gates: AccountGates) -> Mailer:
    at = urlsplit(settings.smtp_url.get_secret_value())
    return Mailer(
        at.hostname or "",
        at.port or 25,
        sender=settings.mail_from,
        username=unquote(at.username) if at.username else None,
        password=unquote(at.password) if at.password else None,
        starttls=at.scheme == "smtp+starttls",
        gate=gates.of("smtp"),
    )


def _checks(
    db: Database,
    panels: CloudPanels,
    names: PowerDns,
    archives: BackupStore,
    schedules: BackupSchedules,
) -> dict[tuple[str, str], Check]:
    async def panel_of(effect: Effect) -> CloudPanel:
        async with db.platform() as session:
            server = await session.get_one(Server, effect.facts["server_id"])
        return panels.of(server)

    def user_of(effect: Effect) -> str:
        return site_user(effect.owner_id)

    async def site_exists(effect: Effect) -> bool:
        found = await (await panel_of(effect)).find_site(effect.facts["domain"])
        return found is not None and found.site_user == user_of(effect)

    async def remove_site(effect: Effect) -> None:
        panel = await panel_of(effect)
        await panel.delete_site(effect.facts["domain"], site_user=user_of(effect))

    async def record_exists(effect: Effect) -> bool:
        found = await names.record(effect.facts["zone"], effect.facts["name"], "A")
        return found is not None and found.reference == effect.reference

    async def remove_record(effect: Effect) -> None:
        await names.delete_record(
            effect.facts["zone"], effect.facts["name"], "A", reference=effect.reference
        )

    async def archive_exists(effect: Effect) -> bool:
        return await archives.find(effect.facts["archive"]) is not None

    async def remove_archive(effect: Effect) -> None:
        await archives.delete(effect.facts["archive"])

    async def schedule_exists(effect: Effect) -> bool:
        website_id = UUID(effect.facts["website_id"])
        async with db.platform() as session:
            plan = await plan_of(session, website_id)
        if plan is not None and plan.id != effect.owner_id:
            return False  # the schedule is a later plan's
        return await schedules.exists(website_id)

    async def remove_schedule(effect: Effect) -> None:
        await schedules.remove(UUID(effect.facts["website_id"]))

    return {
        ("temporal", "schedule"): Check(schedule_exists, remove_schedule),
        ("cloudpanel", "site"): Check(site_exists, remove_site),
        ("powerdns", "record"): Check(record_exists, remove_record),
        ("backup_store", "archive"): Check(archive_exists, remove_archive),
    }
