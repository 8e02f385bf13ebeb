"""Who is told which address, key and port: the only place where they are joined."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.dev import temporal
from workers.dev.folder import DataFolder
from workers.dev.keys import Keys, public_key
from workers.dev.postgres import SUPERUSER

ADMIN = "admin@migrahosting.example"
DATABASE = "mpanel"
OWNER_ROLE = "mpanel_owner"
APP_ROLE = "mpanel_app"
SIMULATORS = ("stripe", "powerdns", "hosting", "backup_store", "mail")
# In a process of its own: the server that it is made of is no part of ours.
APART = ("proxmox",)
PROXMOX_TOKEN = "mpanel@pve!dev"  # noqa: S105 - its name, not its secret


@dataclass(frozen=True)
class Layout:
    """The addresses of one stack, and the environment of each of its parts."""

    folder: DataFolder
    ports: Mapping[str, int]
    keys: Keys

    @property
    def api_url(self) -> str:
        """Where the API is reached."""
        return self._http("api")

    @property
    def database_url(self) -> str:
        """PostgreSQL as the application sees it: bound by row-level security."""
        return self._database(APP_ROLE, self.keys.app_password)

    @property
    def owner_url(self) -> str:
        """PostgreSQL as the owner of the tables, for migrations alone."""
        return self._database(OWNER_ROLE, self.keys.owner_password)

    @property
    def simulator_urls(self) -> dict[str, str]:
        """Each simulator's control address."""
        return {name: self._http(name) for name in (*SIMULATORS, *APART)}

    def ambient(self) -> dict[str, str]:
        """Our environment without what could lead a part to another Temporal."""
        inherited = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith("TEMPORAL_")
        }
        return {**inherited, "PYTHONUNBUFFERED": "1"}

    def schema(self) -> dict[str, str]:
        """Environment of the child that makes roles and tables and seeds them."""
        return {
            **self.ambient(),
            "MPANEL_SUPERUSER_URL": self._database(
                SUPERUSER, self.keys.postgres_password, name="postgres"
            ),
            "MPANEL_OWNER_DATABASE_URL": self.owner_url,
            "MPANEL_DATABASE_URL": self.database_url,
            "MPANEL_ADMIN_EMAIL": ADMIN,
            "MPANEL_ADMIN_PASSWORD": self.keys.admin_password,
            "MPANEL_HOSTING_SSH_PORT": str(self.ports["hosting_ssh"]),
            "MPANEL_HOSTING_HTTP_PORT": str(self.ports["hosting_http"]),
            "MPANEL_HOSTING_HOST_KEY": public_key(self.keys.hosting_host_key),
        }

    def api(self) -> dict[str, str]:
        """Environment of the web process: no provider's key is in it."""
        return {
            # On one's own machine the password is enough, unless one says otherwise.
            "MPANEL_SECOND_FACTOR": "off",
            # The demo redraws its timeline twenty times a second.
            "MPANEL_CALL_LIMIT_POLL": "60000",
            **self._application(),
            "MPANEL_SECRET_KEY": self.keys.secret_key,
            "MPANEL_ORDER_WEBHOOK_SECRET": self.keys.order_webhook_secret,
            "MPANEL_STRIPE_WEBHOOK_SECRET": self.keys.stripe_webhook_secret,
            "MPANEL_BOUNCE_WEBHOOK_SECRET": self.keys.bounce_webhook_secret,
            "MPANEL_METRICS_PORT": str(self.ports["api_metrics"]),
        }

    def worker(self) -> dict[str, str]:
        """Environment of the worker: every provider is a simulator."""
        store = f"127.0.0.1:{self.ports['backup_store_ssh']}"
        return {
            **self._application(),
            "MPANEL_STRIPE_API_KEY": self.keys.stripe_api_key,
            "MPANEL_STRIPE_API_BASE": self._http("stripe"),
            "MPANEL_POWERDNS_URL": self._http("powerdns"),
            "MPANEL_POWERDNS_API_KEY": self.keys.powerdns_api_key,
            "MPANEL_POWERDNS_DNS_ADDRESS": f"127.0.0.1:{self.ports['powerdns_dns']}",
            "MPANEL_HOSTING_SSH_KEY_FILE": str(self._key_file("client")),
            "MPANEL_BACKUP_STORE_URL": f"sftp://backup@{store}/backups",
            "MPANEL_BACKUP_STORE_HOST_KEY": public_key(self.keys.backup_store_host_key),
            "MPANEL_PROXMOX_URL": f"https://127.0.0.1:{self.ports['proxmox_api']}",
            "MPANEL_PROXMOX_TOKEN_ID": PROXMOX_TOKEN,
            "MPANEL_PROXMOX_TOKEN_SECRET": self.keys.proxmox_token_secret,
            "MPANEL_PROXMOX_CA_FILE": str(
                self.folder.path / "simulators" / "proxmox" / "proxmox.crt"
            ),
            "MPANEL_SMTP_URL": f"smtp://127.0.0.1:{self.ports['mail_smtp']}",
            "MPANEL_MAIL_FROM": "MigraHosting <support@migrahosting.example>",
            "MPANEL_MAIL_BOUNCE_DOMAIN": "bounces.migrahosting.example",
            "MPANEL_OPERATOR_EMAIL": "operator@migrahosting.example",
            "MPANEL_METRICS_PORT": str(self.ports["worker_metrics"]),
        }

    def simulators(self) -> Path:
        """Writes the simulators' configuration and key files; its path."""
        for name, key in (
            ("client", self.keys.client_key),
            ("hosting", self.keys.hosting_host_key),
            ("backup_store", self.keys.backup_store_host_key),
        ):
            self.folder.write_text(self._key_file(name).name, key)
        authorized = self.folder.write_text(
            "authorized_keys", f"{public_key(self.keys.client_key)}\n"
        )
        port = self.ports
        config: dict[str, Any] = {
            "data_dir": str(self.folder.path),
            "stripe": {
                "port": port["stripe"],
                "api_key": self.keys.stripe_api_key,
                "webhook_url": f"{self.api_url}/api/payments/stripe/webhook",
                "webhook_secret": self.keys.stripe_webhook_secret,
            },
            "powerdns": {
                "port": port["powerdns"],
                "dns_port": port["powerdns_dns"],
                "api_key": self.keys.powerdns_api_key,
            },
            "hosting": {
                "port": port["hosting"],
                "ssh_port": port["hosting_ssh"],
                "http_port": port["hosting_http"],
                "host_key": str(self._key_file("hosting")),
                "authorized_keys": str(authorized),
            },
            "backup_store": {
                "port": port["backup_store"],
                "ssh_port": port["backup_store_ssh"],
                "host_key": str(self._key_file("backup_store")),
                "authorized_keys": str(authorized),
            },
            "mail": {
                "port": port["mail"],
                "smtp_port": port["mail_smtp"],
                "bounce_url": f"{self.api_url}/api/mail/bounces",
                "bounce_secret": self.keys.bounce_webhook_secret,
            },
            "proxmox": {
                "port": port["proxmox"],
                "api_port": port["proxmox_api"],
                "token_id": PROXMOX_TOKEN,
                "token_secret": self.keys.proxmox_token_secret,
            },
        }
        self.folder.write("simulators.json", config)
        return self.folder.path / "simulators.json"

    def dev_file(self, processes: Mapping[str, int]) -> dict[str, Any]:
        """What `dev.json` tells."""
        return {
            "api": self.api_url,
            "temporal": f"127.0.0.1:{self.ports['temporal']}",
            "temporal_ui": self._http("temporal_ui"),
            "database_url": self.database_url,
            "simulators": self.simulator_urls,
            "admin": {"email": ADMIN, "password": self.keys.admin_password},
            "order_webhook_secret": self.keys.order_webhook_secret,
            "stripe_api_key": self.keys.stripe_api_key,
            "marketing_api_key": None,
            "metrics": {
                name: f"{self._http(f'{name}_metrics')}/metrics"
                for name in ("api", "worker")
            },
            "processes": dict(sorted(processes.items())),
        }

    def _application(self) -> dict[str, str]:
        return {
            **self.ambient(),
            "MPANEL_DATABASE_URL": self.database_url,
            "MPANEL_ENCRYPTION_KEYS": self.keys.encryption_keys,
            "MPANEL_PLATFORM_DOMAIN": "sites.localhost",
            "MPANEL_PUBLIC_URL": self.api_url,
            "TEMPORAL_ADDRESS": f"127.0.0.1:{self.ports['temporal']}",
            "TEMPORAL_NAMESPACE": temporal.NAMESPACE,
            # People read these logs.
            "MPANEL_LOG_FORMAT": "text",
            # Nobody's own profile decides where this stack connects.
            "TEMPORAL_CONFIG_FILE": os.devnull,
        }

    def _key_file(self, name: str) -> Path:
        return self.folder.path / f"{name}.key"

    def _http(self, port: str) -> str:
        return f"http://127.0.0.1:{self.ports[port]}"

    def _database(self, role: str, password: str, *, name: str = DATABASE) -> str:
        address = f"127.0.0.1:{self.ports['postgres']}"
        return f"postgresql://{role}:{password}@{address}/{name}"
