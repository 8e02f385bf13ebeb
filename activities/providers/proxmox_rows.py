"""What a Proxmox cluster is made of, and how each is read from the API's rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

QEMU: Final = "qemu"
LXC: Final = "lxc"

_RUNS: Final = "RUNNING"

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Place:
    """Where a guest is: its node, `qemu` or `lxc`, its VMID."""

    node: str
    kind: str
    vmid: int

    @property
    def path(self) -> str:
        """Of the API."""
        return f"nodes/{self.node}/{self.kind}/{self.vmid}"


@dataclass(frozen=True)
class Guest:
    """As the cluster lists it. `status`: running, stopped; unknown if its node is down.

    `memory` and `disk` are what it was promised, in bytes.
    """

    place: Place
    name: str
    status: str
    template: bool
    tags: tuple[str, ...]
    lock: str | None
    cores: int
    memory: int
    disk: int


@dataclass(frozen=True)
class Task:
    """`exit_status` is None while it runs, "OK" if it went well (warnings are well)."""

    upid: str
    kind: str
    exit_status: str | None

    @property
    def ended(self) -> bool:
        return self.exit_status is not None

    @property
    def well(self) -> bool:
        status = self.exit_status or ""
        return status == "OK" or status.startswith("WARNINGS")


@dataclass(frozen=True)
class Node:
    """`memory` and `memory_used` in bytes; zeros while it is not online."""

    name: str
    online: bool
    cores: int = 0
    memory: int = 0
    memory_used: int = 0


@dataclass(frozen=True)
class Volume:
    """A backup on a storage; `size` in bytes, `made_at` in epoch seconds."""

    volid: str
    vmid: int
    size: int
    made_at: int
    notes: str


def guest_of(row: Row) -> Guest:
    """From a row of `cluster/resources`."""
    return Guest(
        Place(str(row["node"]), str(row["type"]), int(row["vmid"])),
        str(row.get("name") or ""),
        str(row["status"]),
        bool(row.get("template")),
        tuple(one for one in str(row.get("tags") or "").split(";") if one),
        row.get("lock"),
        int(row.get("maxcpu") or 0),
        int(row.get("maxmem") or 0),
        int(row.get("maxdisk") or 0),
    )


def listed_task_of(row: Row) -> Task:
    """From a row of a node's tasks: the status of one that runs is RUNNING, or none;
    else it is how it ended."""
    status = row.get("status")
    return Task(str(row["upid"]), str(row["type"]), None if status == _RUNS else status)


def node_of(row: Row) -> Node:
    """From a row of `nodes`."""
    return Node(
        str(row["node"]),
        row["status"] == "online",
        int(row.get("maxcpu") or 0),
        int(row.get("maxmem") or 0),
        int(row.get("mem") or 0),
    )


def volume_of(row: Row) -> Volume:
    """From a row of a storage's content."""
    return Volume(
        str(row["volid"]),
        int(row["vmid"]),
        int(row.get("size") or 0),
        int(row.get("ctime") or 0),
        str(row.get("notes") or ""),
    )


def addresses_of(row: Row) -> list[str]:
    """From a row of a guest's interfaces. A container's had no list of them before
    Proxmox 8.3, but one of each family with its prefix."""
    if "ip-addresses" in row:
        return [str(one["ip-address"]) for one in row["ip-addresses"] or []]
    told = (row.get("inet"), row.get("inet6"))
    return [str(one).partition("/")[0] for one in told if one]
