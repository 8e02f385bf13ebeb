"""The clients of everything outside, made from the settings and nowhere else."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from urllib.parse import unquote, urlsplit

import asyncssh
from temporalio.client import Client

from activities.errors import ProviderRejected
from activities.providers.backup_store import BackupStore
from activities.providers.cloudpanel import CloudPanel
from activities.providers.powerdns import PowerDns
from activities.providers.proxmox import Proxmox
from activities.providers.smtp import Mailer
from activities.providers.stripe import StripeAccount
from activities.providers.web_probe import WebProbe
from models.servers import Server
from workers.gates import AccountGates
from workers.reach import greets
from workers.settings import WorkerSettings
from workflows.schedules import BackupSchedules


class CloudPanels:
    """One client per hosting server, made when it is first needed."""

    def __init__(self, settings: WorkerSettings, gates: AccountGates) -> None:
        self._key, self._gates = settings.hosting_ssh_key_file, gates
        self._made: dict[tuple[str, int, str], CloudPanel] = {}

    def of(self, server: Server) -> CloudPanel:
        """The client; a changed address or host key makes a new one.

        `ProviderRejected` with the code `host_key` if nobody can read the row's: that
        is this server's trouble, and no other's.
        """
        at = (server.ssh_host, server.ssh_port, server.host_key)
        if at not in self._made:
            try:
                self._made[at] = self._panel(server)
            except asyncssh.KeyImportError as unread:
                raise ProviderRejected(
                    "hosting",
                    f"no key for {server.name} can be read: {unread}",
                    code="host_key",
                ) from None
        return self._made[at]

    def _panel(self, server: Server) -> CloudPanel:
        return CloudPanel(
            server.ssh_host,
            server.ssh_port,
            username=server.ssh_user,
            client_key=self._key,
            known_host_key=server.host_key,
            gate=self._gates.of(f"hosting:{server.name}"),
        )

    async def aclose(self) -> None:
        """Ends every connection."""
        for made in self._made.values():
            await made.aclose()


@dataclass(frozen=True)
class Clients:
    """One of each; they connect when they are first needed."""

    stripe: StripeAccount
    names: PowerDns
    panels: CloudPanels
    probe: WebProbe
    archives: BackupStore
    mailer: Mailer
    cluster: Proxmox
    schedules: BackupSchedules

    @property
    def closing(self) -> list[Callable[[], Awaitable[None]]]:
        """What ends each that keeps a connection."""
        return [
            self.stripe.aclose,
            self.names.aclose,
            self.panels.aclose,
            self.probe.aclose,
            self.archives.aclose,
            self.cluster.aclose,
        ]


def clients_of(
    settings: WorkerSettings, temporal: Client, gates: AccountGates
) -> Clients:
    """Those that the settings name."""
    key = settings.stripe_api_key.get_secret_value()
    return Clients(
        stripe=StripeAccount(
            key, api_base=settings.stripe_api_base, gate=gates.of(f"stripe:{key[-4:]}")
        ),
        names=PowerDns(
            settings.powerdns_url,
            settings.powerdns_api_key.get_secret_value(),
            gate=gates.of("powerdns"),
        ),
        panels=CloudPanels(settings, gates),
        probe=WebProbe(),
        archives=_backup_store(settings, gates),
        mailer=_mailer(settings, gates),
        cluster=cluster_of(settings, gates),
        schedules=BackupSchedules(temporal),
    )


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


def cluster_of(settings: WorkerSettings, gates: AccountGates) -> Proxmox:
    """One that is not configured refuses every call."""
    return Proxmox(
        settings.proxmox_url or "",
        settings.proxmox_token_id,
        settings.proxmox_token_secret.get_secret_value(),
        ca_file=settings.proxmox_ca_file,
        gate=gates.of("proxmox"),
        knock=partial(_knock, settings.cloudpod_reached_at),
    )


async def _knock(instead: str, address: str) -> None:
    host, _, port = instead.rpartition(":")
    await greets(host or address, int(port or 22), b"SSH-")


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
