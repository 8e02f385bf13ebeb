"""A Proxmox VE cluster through proxmoxer, which blocks and so runs in threads.

A changing call answers with a UPID, the id of a task that runs on the node; only its
exit status tells how it went. Proxmox answers 500 for most refusals, so the words of
the answer decide what an error means: see `_meaning`. "Gone" is never read from an
error alone: `find` and `config` must both know nothing.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlsplit

import requests
from proxmoxer import AuthenticationError, ProxmoxAPI, ResourceException

from activities.errors import (
    ProviderDown,
    ProviderError,
    ProviderRejected,
    ProviderThrottled,
)
from activities.gate import Gate

PROVIDER: Final = "proxmox"
QEMU: Final = "qemu"
LXC: Final = "lxc"

_AT_ONCE: Final = 16
_REST: Final = 5.0
_TASK_DETAILS: Final = 50

T = TypeVar("T")


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


class Proxmox:
    """One cluster, as one API token sees it."""

    def __init__(
        self,
        url: str,
        token_id: str,
        token_secret: str,
        *,
        ca_file: Path | None,
        gate: Gate,
        timeout: float = 30,
    ) -> None:
        at = urlsplit(url)
        self._host, self._port = at.hostname or "", at.port or 8006
        self._user, _, self._token = token_id.partition("!")
        self._secret = token_secret
        self._trusted: bool | str = str(ca_file) if ca_file else True
        self._gate, self._timeout = gate, timeout
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix=PROVIDER)
        self._of_thread = threading.local()

    @staticmethod
    def place(node: str, kind: str, vmid: int) -> Place:
        """Where a guest is, or is to be."""
        return Place(node, kind, vmid)

    # --- what is there ------------------------------------------------------------

    async def guests(self) -> list[Guest]:
        """Every VM and container of the cluster, templates too."""
        rows = await self._get("cluster/resources", type="vm")
        return [_guest(row) for row in rows]

    async def find(self, vmid: int) -> Guest | None:
        """The guest of this VMID, on whichever node. The list may lag by seconds."""
        found = (one for one in await self.guests() if one.place.vmid == vmid)
        return next(found, None)

    async def config(self, place: Place) -> dict[str, Any] | None:
        """The guest's configuration; None if it has none at this place."""
        try:
            found = await self._get(f"{place.path}/config")
        except ProviderRejected as refused:
            if refused.code == "absent":
                return None
            raise
        return dict(found)

    async def status(self, place: Place) -> str:
        """running or stopped, as the node itself says."""
        return str((await self._get(f"{place.path}/status/current"))["status"])

    async def nodes(self) -> list[Node]:
        """Every node, by name."""
        rows = await self._get("nodes")
        found = [
            Node(
                str(row["node"]),
                row["status"] == "online",
                int(row.get("maxcpu") or 0),
                int(row.get("maxmem") or 0),
                int(row.get("mem") or 0),
            )
            for row in rows
        ]
        return sorted(found, key=lambda node: node.name)

    # --- tasks --------------------------------------------------------------------

    async def task(self, upid: str) -> Task:
        """How a task stands. Rejected with code `absent` if the node forgot it."""
        node = upid.split(":")[1]
        row = await self._get(f"nodes/{node}/tasks/{quote(upid, safe='')}/status")
        ended = row["status"] == "stopped"
        status = str(row.get("exitstatus") or "unknown") if ended else None
        return Task(upid, str(row["type"]), status)

    async def tasks(self, place: Place) -> list[Task]:
        """The latest tasks about a VMID on its node, newest first."""
        rows = await self._get(
            f"nodes/{place.node}/tasks",
            vmid=place.vmid,
            source="all",
            limit=_TASK_DETAILS,
        )
        return [
            Task(str(row["upid"]), str(row["type"]), row.get("status")) for row in rows
        ]

    # --- making and removing ------------------------------------------------------

    async def clone(
        self, template: Place, vmid: int, *, name: str, description: str, node: str
    ) -> str:
        """A full clone of a VM template, carrying our words from its first moment."""
        return await self._task(
            "post",
            f"{template.path}/clone",
            newid=vmid,
            name=name,
            description=description,
            full=1,
            **({} if node == template.node else {"target": node}),
        )

    async def create_container(
        self, place: Place, template: str, **options: str | int
    ) -> str:
        """A container from a template volume such as `local:vztmpl/debian-13...`."""
        return await self._task(
            "post",
            f"nodes/{place.node}/lxc",
            vmid=place.vmid,
            ostemplate=template,
            unprivileged=1,
            **options,
        )

    async def destroy(self, place: Place) -> str:
        """With its disks, and out of every job and firewall that names it."""
        options = {"purge": 1, "destroy-unreferenced-disks": 1}
        return await self._task("delete", place.path, **options)

    # --- changing -----------------------------------------------------------------

    async def configure(self, place: Place, **options: str | int) -> None:
        """Sets options at once; what a running guest cannot take waits for a restart.

        A name given with `_` is Proxmox' with `-`; `delete="a,b"` removes options.
        """
        given = {key.replace("_", "-"): value for key, value in options.items()}
        await self._call("put", f"{place.path}/config", **given)

    async def grow(self, place: Place, disk: str, gib: int) -> str | None:
        """The disk (`scsi0`, `rootfs`) to this size; its task, if it is one."""
        grown = await self._call(
            "put", f"{place.path}/resize", disk=disk, size=f"{gib}G"
        )
        return str(grown) if grown else None

    async def start(self, place: Place) -> str:
        return await self._task("post", f"{place.path}/status/start")

    async def stop(self, place: Place) -> str:
        """At once, as if its power was cut."""
        return await self._task("post", f"{place.path}/status/stop")

    async def shut_down(self, place: Place, *, within: int) -> str:
        """Asks its system to end, and cuts the power after `within` seconds."""
        return await self._task(
            "post", f"{place.path}/status/shutdown", timeout=within, forceStop=1
        )

    async def reboot(self, place: Place, *, within: int) -> str:
        return await self._task("post", f"{place.path}/status/reboot", timeout=within)

    async def move(self, place: Place, node: str, *, running: bool) -> str:
        """To another node: a VM live, a container by a restart over there."""
        how = "online" if place.kind == QEMU else "restart"
        options: dict[str, str | int] = {how: 1} if running else {}
        return await self._task("post", f"{place.path}/migrate", target=node, **options)

    # --- snapshots and backups ----------------------------------------------------

    async def snapshots(self, place: Place) -> list[str]:
        """Their names, oldest first."""
        rows = await self._get(f"{place.path}/snapshot")
        kept = [row for row in rows if row["name"] != "current"]
        kept.sort(key=lambda row: int(row.get("snaptime") or 0))
        return [str(row["name"]) for row in kept]

    async def snapshot(self, place: Place, name: str, *, description: str) -> str:
        return await self._task(
            "post", f"{place.path}/snapshot", snapname=name, description=description
        )

    async def roll_back(self, place: Place, name: str) -> str:
        """The guest is stopped afterwards."""
        return await self._task("post", f"{place.path}/snapshot/{name}/rollback")

    async def delete_snapshot(self, place: Place, name: str) -> str:
        return await self._task("delete", f"{place.path}/snapshot/{name}")

    async def back_up(self, place: Place, storage: str, *, notes: str) -> str:
        """Of the whole guest; a running VM goes on meanwhile."""
        options = {"notes-template": notes, "compress": "zstd", "mode": "snapshot"}
        return await self._task(
            "post",
            f"nodes/{place.node}/vzdump",
            vmid=place.vmid,
            storage=storage,
            **options,
        )

    async def backups(self, node: str, storage: str, vmid: int) -> list[Volume]:
        """The backups of a VMID on a storage, oldest first."""
        rows = await self._get(
            f"nodes/{node}/storage/{storage}/content", content="backup", vmid=vmid
        )
        found = [
            Volume(
                str(row["volid"]),
                int(row["vmid"]),
                int(row.get("size") or 0),
                int(row.get("ctime") or 0),
                str(row.get("notes") or ""),
            )
            for row in rows
        ]
        return sorted(found, key=lambda volume: volume.made_at)

    async def restore(self, place: Place, volid: str, *, over: bool) -> str:
        """From a backup; `over` replaces the (stopped) guest that is there."""
        force = {"force": 1} if over else {}
        if place.kind == QEMU:
            return await self._task(
                "post",
                f"nodes/{place.node}/qemu",
                vmid=place.vmid,
                archive=volid,
                **force,
            )
        return await self._task(
            "post",
            f"nodes/{place.node}/lxc",
            vmid=place.vmid,
            ostemplate=volid,
            restore=1,
            **force,
        )

    async def delete_volume(self, node: str, volid: str) -> None:
        """Absent counts as deleted."""
        storage = volid.partition(":")[0]
        path = f"nodes/{node}/storage/{storage}/content/{quote(volid, safe='')}"
        try:
            await self._call("delete", path)
        except ProviderRejected as refused:
            if refused.code != "absent":
                raise

    # --- inside and around --------------------------------------------------------

    async def addresses(self, place: Place) -> list[str]:
        """What the guest itself says it answers on, by its agent or its node.

        `ProviderDown` with code `agent` while no agent answers.
        """
        if place.kind == LXC:
            rows = await self._get(f"{place.path}/interfaces") or []
        else:
            found = await self._get(f"{place.path}/agent/network-get-interfaces")
            rows = found["result"]
        return [
            str(one["ip-address"])
            for row in rows
            for one in row.get("ip-addresses") or []
            if row["name"] != "lo"
        ]

    async def guard(self, place: Place, group: str) -> None:
        """Turns the guest's firewall on, with the rules of a security group: ping,
        SSH and the web from everywhere, nothing else. A group that is there keeps
        what operators made of it."""
        await self._make_group(group)
        await self._call(
            "put", f"{place.path}/firewall/options", enable=1, policy_in="DROP"
        )
        rules = await self._get(f"{place.path}/firewall/rules")
        if not any(one["type"] == "group" and one["action"] == group for one in rules):
            await self._call(
                "post",
                f"{place.path}/firewall/rules",
                type="group",
                action=group,
                enable=1,
            )

    async def _make_group(self, group: str) -> None:
        groups = await self._get("cluster/firewall/groups")
        if any(one["group"] == group for one in groups):
            return
        try:
            await self._call(
                "post", "cluster/firewall/groups", group=group, comment="mPanel"
            )
        except ProviderRejected as refused:
            if refused.code != "exists":
                raise
        for macro in ("Ping", "SSH", "HTTP", "HTTPS"):
            await self._call(
                "post",
                f"cluster/firewall/groups/{group}",
                type="in",
                action="ACCEPT",
                macro=macro,
                enable=1,
            )

    async def series(self, place: Place) -> list[Mapping[str, Any]]:
        """The last hour, a row a minute: time, cpu (of maxcpu), mem, disk (bytes),
        netin, netout (bytes a second)."""
        found = await self._get(f"{place.path}/rrddata", timeframe="hour", cf="AVERAGE")
        return [dict(row) for row in found]

    async def console(self, place: Place) -> tuple[str, int]:
        """(ticket, port) for one connection to its screen, within 40 seconds."""
        made = await self._call("post", f"{place.path}/vncproxy", websocket=1)
        return str(made["ticket"]), int(made["port"])

    async def aclose(self) -> None:
        """Lets calls that are under way end by themselves."""
        self._threads.shutdown(wait=False)

    # --- calls --------------------------------------------------------------------

    async def _get(self, path: str, **query: Any) -> Any:
        return await self._call("get", path, **query)

    async def _task(self, method: str, path: str, **body: Any) -> str:
        upid = await self._call(method, path, **body)
        if not isinstance(upid, str) or not upid.startswith("UPID:"):
            raise ProviderDown(PROVIDER, "the answer has no UPID", code="garbage")
        return upid

    async def _call(self, method: str, path: str, **given: Any) -> Any:
        if not self._host:
            raise ProviderRejected(
                PROVIDER,
                "no cluster is configured: set MPANEL_PROXMOX_URL",
                code="none",
            )
        await self._gate.enter()
        act = f"{method.upper()} {path}"

        def call() -> Any:
            return getattr(self._api()(path), method)(**given)

        try:
            return await self._in_thread(call)
        except ResourceException as refused:
            error = _meaning(act, refused)
        except AuthenticationError as refused:
            error = ProviderRejected(PROVIDER, f"{act}: {refused}", code="http_401")
        except requests.exceptions.SSLError as refused:
            error = ProviderRejected(
                PROVIDER, f"its certificate is not trusted: {refused}", code="tls"
            )
        except requests.RequestException as lost:
            error = ProviderDown(
                PROVIDER, f"{act}: {type(lost).__name__}", code="network"
            )
        except ValueError:
            error = ProviderDown(PROVIDER, "the answer is not JSON", code="garbage")
        if isinstance(error, ProviderThrottled):
            await self._gate.throttled(error.retry_after)
        raise error

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    def _api(self) -> ProxmoxAPI:
        """One session a thread: requests' are not made to be shared."""
        if not hasattr(self._of_thread, "api"):
            self._of_thread.api = ProxmoxAPI(
                self._host,
                port=self._port,
                user=self._user,
                token_name=self._token,
                token_value=self._secret,
                verify_ssl=self._trusted,
                timeout=self._timeout,
            )
        return self._of_thread.api


# What Proxmox says in words, in the order in which they are looked for. The code of
# the first that is found; transient ones are worth another try.
_TRANSIENT: Final = (
    ("can't lock file", "lock"),
    ("got timeout", "lock"),
    ("is locked", "lock"),
    ("no quorum", "quorum"),
    ("guest agent is not running", "agent"),
    ("no qemu guest agent configured", "agent"),
    ("not running", "not_running"),
    ("connection refused", "network"),
    ("no route to host", "network"),
)
_PERMANENT: Final = (
    ("already exists", "exists"),
    ("config file already exists", "exists"),
    ("does not exist", "absent"),
    ("no such", "absent"),
    ("unable to parse worker upid", "absent"),
    ("unable to parse volume", "absent"),
    ("no space left", "disk_full"),
    ("shrink", "shrink"),
    ("not supported", "unsupported"),
    ("not implemented", "unsupported"),
    ("protection mode", "protected"),
)


def _meaning(act: str, refused: ResourceException) -> ProviderError:
    """401/403 and 400 are no for good; 595 and friends mean that the node is away; a
    500 means what it says, and an unknown one is tried again."""
    status = int(refused.status_code)
    said = f"{refused.status_message} {refused.content}".strip()
    fields = getattr(refused, "errors", None)
    message = f"{act}: {status} {said}" + (f" {fields}" if fields else "")
    if status == 429:
        return ProviderThrottled(PROVIDER, message, retry_after=_REST)
    if status < 500:
        return ProviderRejected(PROVIDER, message, code=f"http_{status}")
    words = said.lower()
    if status == 500:
        for pattern, code in _TRANSIENT:
            if pattern in words:
                return ProviderDown(PROVIDER, message, code=code)
        for pattern, code in _PERMANENT:
            if pattern in words:
                return ProviderRejected(PROVIDER, message, code=code)
    if status == 501:
        return ProviderRejected(PROVIDER, message, code="unsupported")
    return ProviderDown(PROVIDER, message, code=f"http_{status}")


def _guest(row: Mapping[str, Any]) -> Guest:
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
