"""What the worker and the command line read from the environment."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import NoDecode
from temporalio.envconfig import ClientConfig, ClientConnectConfig

from models.metrics import MetricsSettings
from models.settings import PREFIX, Settings, SettingsRefused
from models.vault import Vault
from workers.quiet import QuietHours
from workers.webhooks import key_of as webhook_key

_RATE = f"{PREFIX}RATE_"


def _quiet(words: object) -> object:
    return QuietHours.parse(words) if isinstance(words, str) else words


class MigrateSettings(Settings):
    """For `mpanel migrate`: the one process that may change tables."""

    owner_database_url: SecretStr = Field(
        description="postgresql:// URL of the role that owns the tables"
    )
    app_role: str = Field(
        default="mpanel_app", description="role that API and worker connect as"
    )


class DatabaseSettings(Settings):
    """For commands that read and write rows."""

    database_url: SecretStr = Field(
        description="postgresql:// URL of the application's role, which owns no table"
    )


class VaultSettings(DatabaseSettings):
    """For what signs or opens."""

    encryption_keys: SecretStr = Field(
        description="keys for secrets at rest, <version>:<base64 of 32 bytes>, oldest"
        " first, separated by commas"
    )

    @property
    def vault(self) -> Vault:
        """Raises `SettingsRefused` for what are no keys."""
        try:
            return Vault.parse(self.encryption_keys.get_secret_value())
        except ValueError:
            want = "<version>:<base64 of 32 bytes>, separated by commas"
            raise SettingsRefused(f"{PREFIX}ENCRYPTION_KEYS is wrong: {want}") from None


class WorkerSettings(VaultSettings, MetricsSettings):
    """For `mpanel worker`: every provider's address and key."""

    platform_domain: str = Field(
        description="domain under which websites without one of their own live"
    )
    public_url: str = Field(description="where people reach the API, for links")

    stripe_api_key: SecretStr = Field(description="Stripe's secret key")
    stripe_api_base: str | None = Field(
        default=None, description="another address for Stripe's API"
    )
    powerdns_url: str = Field(description="PowerDNS' HTTP API")
    powerdns_api_key: SecretStr = Field(description="PowerDNS' API key")
    powerdns_dns_address: str = Field(
        description="host:port where the name server answers, for probes"
    )
    hosting_ssh_key_file: Path = Field(
        description="private key file for the hosting servers and the backup store"
    )
    backup_store_url: str = Field(
        description="where archives go, sftp://user@host:port/folder"
    )
    backup_store_host_key: str = Field(
        description="the backup store's SSH host key, `ssh-ed25519 AAAA...`"
    )
    proxmox_url: str | None = Field(
        default=None,
        description="the Proxmox cluster's API, https://host:8006; without it no"
        " CloudPod is built",
    )
    proxmox_token_id: str = Field(
        default="", description="user@realm!name of the API token"
    )
    proxmox_token_secret: SecretStr = Field(
        default=SecretStr(""), description="the API token's secret"
    )
    proxmox_ca_file: Path | None = Field(
        default=None, description="who signed the cluster's certificate"
    )
    proxmox_disk_storage: str = Field(
        default="ceph", description="the cluster's storage for the disks of containers"
    )
    proxmox_backup_storage: str = Field(
        default="backups", description="the cluster's storage that keeps backups"
    )
    cloudpod_reached_at: str = Field(
        default="",
        description="host:port that is asked for SSH instead of each CloudPod's own"
        " port 22, where a simulated cluster has no network",
    )
    cloudpod_hold_seconds: float = Field(
        default=86_400,
        ge=0,
        description="how long the removal of a CloudPod can be called off",
    )
    smtp_url: SecretStr = Field(
        description="where mail is handed in, smtp://[user:password@]host:port"
    )
    mail_from: str = Field(description="sender of our mail")
    operator_email: str = Field(description="who is told when a job needs a person")
    operator_webhook_secret: SecretStr | None = Field(
        default=None, description="key of the operator webhook's signature"
    )
    operator_webhook_url: str | None = Field(
        default=None, description="where operators' systems are told, signed"
    )
    quiet_hours: Annotated[QuietHours | None, NoDecode, BeforeValidator(_quiet)] = (
        Field(
            default=None,
            description="when operators get critical mail alone, as `22:00-07:00"
            " Europe/Berlin`",
        )
    )
    operator_burst: int = Field(
        default=5, ge=0, description="so many mails to operators come one by one"
    )
    operator_window_seconds: float = Field(
        default=600, gt=0, description="within so long; more become digests"
    )
    operator_digest_seconds: float = Field(
        default=60, gt=0, description="the shortest time between two digests"
    )
    alarms_seconds: float = Field(
        default=5, gt=0, description="how often the rules of alerting are evaluated"
    )
    mail_bounce_domain: str | None = Field(
        default=None,
        description="domain whose mail to bounces+...@ is handed to /api/mail/bounces",
    )

    patience_seconds: float = Field(
        default=86_400, gt=0, description="how long transient errors are retried"
    )
    undo_patience_seconds: float = Field(
        default=60, gt=0, description="how long a failing undo is retried"
    )
    longest_wait_seconds: float = Field(
        default=60, gt=0, description="the longest wait between two tries of a step"
    )
    unclaimed_after_seconds: float = Field(
        default=900, gt=0, description="when a payment without an order is listed"
    )
    payments_seconds: float = Field(
        default=60, gt=0, description="how often Stripe is asked for payments"
    )
    reconcile_seconds: float = Field(
        default=20, gt=0, description="how often an open job is held against its run"
    )

    orphans_seconds: float = Field(
        default=3600, gt=0, description="how often providers are asked for orphans"
    )

    drift_seconds: float = Field(
        default=60, gt=0, description="how often CloudPods are held against their nodes"
    )

    audit_anchor_file: Path | None = Field(
        default=None,
        description="where the audit log's heads are signed to once a day: a file on"
        " another machine, or one that can only be appended to",
    )

    @field_validator("operator_webhook_url")
    @classmethod
    def _signed(cls, url: str | None, given: ValidationInfo) -> str | None:
        """What an empty key has signed may be anybody's."""
        secret = given.data.get("operator_webhook_secret")
        if url is None:
            return None
        if secret is None:
            raise ValueError(f"wants {PREFIX}OPERATOR_WEBHOOK_SECRET")
        webhook_key(secret.get_secret_value())
        return url

    @property
    def rates(self) -> dict[str, float]:
        """Activities per second of each queue that has a limit, by lower-case name.

        From MPANEL_RATE_<QUEUE>. Raises `SettingsRefused` for what is no number.
        """
        return {
            name.removeprefix(_RATE).lower(): _rate(name, text)
            for name, text in os.environ.items()
            if name.startswith(_RATE)
        }

    @property
    def temporal(self) -> ClientConnectConfig:
        """Arguments of `Client.connect`, as the SDK reads them from TEMPORAL_*."""
        config = ClientConfig.load_client_connect_config()
        if not config.get("target_host"):
            raise SettingsRefused("TEMPORAL_ADDRESS is missing: host:port of Temporal")
        return config


def _rate(name: str, text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0
    if not rate > 0:
        raise SettingsRefused(f"{name} is wrong: calls per second, more than 0")
    return rate
