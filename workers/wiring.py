"""The composition root: joins the clients to the activities and the loops."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

from temporalio.client import Client

from activities.backups import BackupActivities
from activities.cloudpod_acts import CloudPodActs
from activities.cloudpod_moves import CloudPodMoves
from activities.cloudpod_names import CloudPodNames
from activities.cloudpod_repairs import CloudPodRepairs
from activities.cloudpods import CloudPodActivities
from activities.consoles import ConsoleActivities
from activities.dns import DnsActivities
from activities.effects import EffectLedger
from activities.guests import destroy, find_ours
from activities.jobs import JobActivities
from activities.name_records import NameRecords
from activities.nodes import NodeActivities
from activities.orders import OrderActivities
from activities.providers.cloudpanel import CloudPanel
from activities.providers.stripe import StripeAccount
from activities.refunds import RefundActivities
from activities.store import Store
from activities.websites import WebsiteActivities
from models.cloudpods import CloudPod
from models.database import Database
from models.effects import Effect
from models.queries.services import plan_of
from models.servers import Server
from models.states import ServiceStatus
from models.vault import Vault
from models.websites import site_user
from workers.alarms import Alarms, pollers
from workers.clients import Clients, clients_of
from workers.desk import Desk, Manners
from workers.drift import DriftWatch, marked
from workers.fleet import Fleet
from workers.gates import AccountGates
from workers.mails import Mails, PostOffice
from workers.orphans import Listings, Orphans
from workers.rechecks import Check, Rechecks
from workers.relay import Relay, Sender
from workers.samples import Sampler
from workers.settings import WorkerSettings
from workers.stripe_watch import StripeWatch
from workers.webhooks import OperatorHook
from workflows.schedules import BackupSchedules

ClientsOf = Callable[[WorkerSettings, Client, AccountGates], Clients]

# A CloudPod's guest is its acts' to make and to take away, whichever is given up.
_IN_USE: Final = (
    ServiceStatus.ACTIVE,
    ServiceStatus.SUSPENDED,
    ServiceStatus.TERMINATING,
)


@dataclass
class Wired:
    """Everything a worker process runs."""

    db: Database
    gates: AccountGates
    activities: list[Callable[..., Any]]
    relay: Relay
    desk: Desk
    alarms: Alarms
    stripe_watch: StripeWatch
    rechecks: Rechecks
    orphans: Orphans
    fleet: Fleet
    drift: DriftWatch
    sampler: Sampler
    stripe: StripeAccount
    schedules: BackupSchedules
    closing: list[Callable[[], Any]]

    async def aclose(self) -> None:
        """Closes the clients, then the database."""
        for close in self.closing:
            await close()
        await self.db.close()


def wire(
    settings: WorkerSettings,
    client: Client,
    db: Database,
    clients_of: ClientsOf = clients_of,
) -> Wired:
    """Joins the clients to the activities and the loops."""
    vault = Vault.parse(settings.encryption_keys.get_secret_value())
    gates = AccountGates(db)
    store, effects = Store(db), EffectLedger(db, vault)
    outside = clients_of(settings, client, gates)
    stripe, names, panels = outside.stripe, outside.names, outside.panels
    probe, archives = outside.probe, outside.archives
    schedules = outside.schedules
    orders = OrderActivities(store, stripe)
    refunds = RefundActivities(store, stripe)
    websites = WebsiteActivities(store, effects, panels, probe)
    platform_domain = settings.platform_domain
    records = NameRecords(effects, names, platform_domain=platform_domain)
    dns = DnsActivities(store, records, platform_domain=platform_domain)
    backups = BackupActivities(
        store, effects, vault, panels, archives, schedules, probe
    )
    pods = CloudPodActivities(
        store, effects, outside.cluster, disks=settings.proxmox_disk_storage
    )
    pod_acts = CloudPodActs(
        store,
        effects,
        outside.cluster,
        backups=settings.proxmox_backup_storage,
        hold=settings.cloudpod_hold_seconds,
    )
    pod_names = CloudPodNames(store, records, platform_domain=platform_domain)
    pod_moves = CloudPodMoves(
        store, effects, outside.cluster, backups=settings.proxmox_backup_storage
    )
    pod_repairs = CloudPodRepairs(
        store, effects, outside.cluster, backups=settings.proxmox_backup_storage
    )
    jobs = JobActivities(db)
    relay = Relay(db, _senders(settings, db, outside.mailer))
    watch = StripeWatch(
        db,
        client,
        stripe,
        unclaimed_after=timedelta(seconds=settings.unclaimed_after_seconds),
        platform_domain=platform_domain,
    )
    return Wired(
        db=db,
        gates=gates,
        activities=_defined(
            orders,
            refunds,
            websites,
            dns,
            backups,
            pods,
            pod_acts,
            pod_names,
            pod_moves,
            pod_repairs,
            NodeActivities(store),
            ConsoleActivities(store, outside.cluster, vault),
            jobs,
        ),
        relay=relay,
        desk=Desk(db, _manners(settings)),
        alarms=Alarms(db, pollers(client)),
        stripe_watch=watch,
        rechecks=Rechecks(db, _checks(db, outside, records)),
        orphans=Orphans(
            db,
            Listings(
                lambda server: panels.of(server).site_users(),
                names.ours,
                partial(marked, db, outside.cluster),
            ),
            every=settings.orphans_seconds,
        ),
        fleet=Fleet(db, outside.cluster, panels),
        drift=DriftWatch(db, outside.cluster),
        sampler=Sampler(db, outside.cluster),
        stripe=stripe,
        schedules=schedules,
        closing=[*outside.closing, relay.aclose],
    )


def _defined(*holders: object) -> list[Callable[..., Any]]:
    """The bound activity methods of each holder."""
    return [
        getattr(holder, name)
        for holder in holders
        for name, member in vars(type(holder)).items()
        if hasattr(member, "__temporal_activity_definition")
    ]


def _manners(settings: WorkerSettings) -> Manners:
    every = settings.operator_digest_seconds
    return Manners(
        burst=settings.operator_burst,
        window=settings.operator_window_seconds,
        digest_every=every,
        critical_every=min(every, Manners.critical_every),
        quiet=settings.quiet_hours,
    )


def _senders(
    settings: WorkerSettings, db: Database, mailer: PostOffice
) -> dict[str, Sender]:
    secret = settings.operator_webhook_secret
    return {
        "mail": Mails(
            db,
            mailer,
            operator=settings.operator_email,
            public_url=settings.public_url,
            domain=settings.platform_domain,
            bounce_domain=settings.mail_bounce_domain,
        ),
        "webhook": OperatorHook(
            db,
            url=settings.operator_webhook_url,
            secret=secret.get_secret_value() if secret else None,
        ),
    }


def _checks(
    db: Database, outside: Clients, records: NameRecords
) -> dict[tuple[str, str], Check]:
    panels, archives = outside.panels, outside.archives
    schedules, cluster = outside.schedules, outside.cluster

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

    async def archive_exists(effect: Effect) -> bool:
        return await archives.find(effect.facts["archive"]) is not None

    async def remove_archive(effect: Effect) -> None:
        await archives.delete(effect.facts["archive"])

    async def of_a_later_plan(effect: Effect) -> bool:
        async with db.platform() as session:
            plan = await plan_of(session, UUID(effect.facts["website_id"]))
        return plan is not None and plan.id != effect.owner_id

    async def schedule_exists(effect: Effect) -> bool:
        return await schedules.exists(UUID(effect.facts["website_id"]))

    async def remove_schedule(effect: Effect) -> None:
        await schedules.remove(UUID(effect.facts["website_id"]))

    async def of_a_living_pod(effect: Effect) -> bool:
        async with db.platform() as session:
            pod = await session.get_one(CloudPod, effect.owner_id)
        return pod.status in _IN_USE

    async def guest_exists(effect: Effect) -> bool:
        return await find_ours(cluster, effect) is not None

    async def remove_guest(effect: Effect) -> None:
        await destroy(cluster, effect)

    return {
        ("proxmox", "guest"): Check(guest_exists, remove_guest, of_a_living_pod),
        ("temporal", "schedule"): Check(
            schedule_exists, remove_schedule, of_a_later_plan
        ),
        ("cloudpanel", "site"): Check(site_exists, remove_site),
        ("powerdns", "record"): Check(records.stands, records.delete),
        ("backup_store", "archive"): Check(archive_exists, remove_archive),
    }
