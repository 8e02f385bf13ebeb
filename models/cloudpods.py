"""A CloudPod: a virtual machine or a container on Proxmox, behind one contract."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Index, text
from sqlmodel import Field

from models.base import TenantRow, document, moment, moved, word
from models.errors import Invalid
from models.states import (
    CLOUDPOD_ACTS,
    SERVICE_MOVES,
    BackupStatus,
    Drift,
    GuestKind,
    JobKind,
    SaveKind,
    ServiceStatus,
    SuspensionReason,
)

_SAVE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{1,39}")
# As a snapshot's name, Proxmox keeps these for itself.
_RESERVED: Final = frozenset({"current", "pending", "vzdump"})
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
_LIVE: Final = frozenset({ServiceStatus.ACTIVE})
_STANDING: Final = frozenset({ServiceStatus.ACTIVE, ServiceStatus.SUSPENDED})

# What an act may find: when it is asked for, and again when its turn has come.
POSSIBLE_IN: Final[Mapping[JobKind, frozenset[ServiceStatus]]] = {
    **dict.fromkeys(CLOUDPOD_ACTS, _LIVE),
    # Of one that is suspended, the reason may be replaced.
    JobKind.CLOUDPOD_SUSPEND: _STANDING,
    JobKind.CLOUDPOD_RESUME: frozenset({ServiceStatus.SUSPENDED}),
    JobKind.CLOUDPOD_BACKUP: _STANDING,
    JobKind.CLOUDPOD_REPAIR: _STANDING,
    # A removal may come at any time, and again if an earlier one was given up.
    JobKind.CLOUDPOD_DELETE: frozenset(ServiceStatus) - {ServiceStatus.TERMINATED},
}


class CloudPod(TenantRow, table=True):
    """`memory` in MiB, `disk` in GiB.

    `status` is what we want and have brought about; `seen` (running, stopped, absent,
    unknown) is what its node said at `seen_at`, and `drift` how that is not as wanted.
    """

    __tablename__ = "cloudpods"

    customer_id: UUID = Field(foreign_key="customers.id", index=True)
    subscription_id: UUID = Field(foreign_key="subscriptions.id", index=True)
    product_id: UUID = Field(foreign_key="products.id")
    name: str
    template: str
    hostname: str = Field(unique=True)
    kind: GuestKind = word(default=GuestKind.QEMU)
    image: str
    cores: int
    memory: int
    disk: int
    login: str = "mpanel"
    ssh_keys: list[str] = document(default_factory=list)
    status: ServiceStatus = word(default=ServiceStatus.PENDING, index=True)
    server_id: UUID | None = Field(default=None, foreign_key="servers.id", index=True)
    # The node that has promised it room while it is on its way there.
    moving_to: UUID | None = Field(default=None, foreign_key="servers.id", index=True)
    vmid: int | None = Field(default=None, unique=True)
    ipv4: str | None = Field(default=None, index=True)
    ipv6: str | None = Field(default=None, index=True)
    suspended_for: SuspensionReason | None = word(default=None)
    # While it is on its way out: until when its removal can be called off.
    held_until: datetime | None = moment(default=None)
    seen: str = "absent"
    seen_at: datetime | None = moment(default=None)
    drift: Drift | None = word(default=None)
    live_at: datetime | None = moment(default=None)

    @property
    def reference(self) -> str:
        """The mark that the guest is made with, in its description."""
        return reference(self.id)

    @property
    def address(self) -> str:
        """Where it is reached; empty until it has an address."""
        return self.ipv4 or self.ipv6 or ""

    @property
    def opens_as(self) -> str:
        """Whom its SSH keys are for: a container's are always root's."""
        return self.login if self.kind == GuestKind.QEMU else "root"

    def _move(self, to: ServiceStatus) -> None:
        now = ServiceStatus(self.status)
        self.status = moved("The CloudPod", now, to, SERVICE_MOVES)

    def begin(
        self, *, server_id: UUID, vmid: int, ipv4: str | None, ipv6: str | None
    ) -> None:
        """Has a node, a VMID and addresses; nothing runs there yet."""
        self._move(ServiceStatus.PROVISIONING)
        self.server_id, self.vmid = server_id, vmid
        self.ipv4, self.ipv6 = ipv4, ipv6

    def activate(self, now: datetime) -> None:
        """Only after a probe."""
        self._move(ServiceStatus.ACTIVE)
        self.live_at = self.live_at or now

    def suspend(self, reason: SuspensionReason) -> None:
        """Stopped; its data stay. A reason that it had is replaced."""
        self._move(ServiceStatus.SUSPENDED)
        self.suspended_for = reason

    def resume(self) -> None:
        """Runs again, after a probe."""
        self._move(ServiceStatus.ACTIVE)
        self.suspended_for = None

    def terminate(self) -> None:
        self._move(ServiceStatus.TERMINATING)

    def come_back(self, was: ServiceStatus) -> None:
        """Its removal was called off: it is what it was before, and for what reason."""
        self._move(was)
        self.held_until = None

    def gone(self) -> None:
        """Destroyed and read back as absent; its VMID may be another's one day."""
        self._move(ServiceStatus.TERMINATED)
        self.drift = None
        self.let_go()

    def let_go(self) -> None:
        """What was reserved for it may be another's one day."""
        self.vmid = self.ipv4 = self.ipv6 = None

    def fail(self) -> None:
        self._move(ServiceStatus.FAILED)


class CloudPodSave(TenantRow, table=True):
    """A state of the CloudPod that can be gone back to: a snapshot beside it, or a
    backup on a storage of its own. `volid` is Proxmox' name of a backup, `size` in
    bytes."""

    __tablename__ = "cloudpod_saves"
    __table_args__ = (
        # One that came to nothing leaves its name to another.
        Index(
            "one_save_of_a_name",
            "cloudpod_id",
            "kind",
            "name",
            unique=True,
            postgresql_where=text("status <> 'failed'"),
        ),
    )

    cloudpod_id: UUID = Field(foreign_key="cloudpods.id", index=True)
    job_id: UUID
    kind: SaveKind = word()
    name: str
    status: BackupStatus = word(default=BackupStatus.RUNNING)
    volid: str | None = None
    size: int = 0
    stored_at: datetime | None = moment(default=None)


def reference(cloudpod_id: UUID) -> str:
    """`mpanel:<uuid>`: tells our guests from anybody else's."""
    return f"mpanel:{cloudpod_id}"


def pod_name(text: str, *, field: str) -> str:
    """In lower case. Raises `Invalid` naming `field`."""
    name = text.strip().lower()
    if not _NAME.fullmatch(name):
        raise Invalid(
            field, "want 1 to 40 letters, digits and hyphens, like customer-site-1"
        )
    return name


def save_name(text: str, *, field: str) -> str:
    """As Proxmox takes a snapshot's name. Raises `Invalid` naming `field`."""
    if not _SAVE.fullmatch(text):
        raise Invalid(
            field, "want a letter, then 1 to 39 letters, digits, hyphens or underscores"
        )
    if text.lower() in _RESERVED:
        raise Invalid(field, f"want another name: {text} is Proxmox' own")
    return text


def pod_host(cloudpod_id: UUID, name: str, platform_domain: str) -> str:
    """`<name>-<6 of its id>.<platform domain>`: nobody else's, whatever the name."""
    return f"{name}-{cloudpod_id.hex[:6]}.{platform_domain}"
