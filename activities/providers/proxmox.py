"""What is asked of a Proxmox VE cluster.

A changing call answers with a UPID, the id of a task that runs on the node; only its
exit status tells how it went. "Gone" is never read from an error alone: `find` and
`config` must both know nothing.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from activities.errors import ProviderRejected
from activities.gate import Gate
from activities.providers import proxmox_firewall as firewall
from activities.providers.proxmox_api import PROVIDER, ProxmoxApi
from activities.providers.proxmox_rows import (
    LXC,
    QEMU,
    Guest,
    Node,
    Place,
    Task,
    Volume,
    addresses_of,
    guest_of,
    listed_task_of,
    node_of,
    volume_of,
)

__all__ = [
    "LXC",
    "PROVIDER",
    "QEMU",
    "Guest",
    "Node",
    "Place",
    "Proxmox",
    "Task",
    "Volume",
]

_LATEST: Final = 50


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
        knock: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self._knock = knock
        self._api = ProxmoxApi(
            url, token_id, token_secret, ca_file=ca_file, gate=gate, timeout=timeout
        )

    @staticmethod
    def place(node: str, kind: str, vmid: int) -> Place:
        """Where a guest is, or is to be."""
        return Place(node, kind, vmid)

    # --- what is there ------------------------------------------------------------

    async def guests(self) -> list[Guest]:
        """Every VM and container of the cluster, templates too."""
        rows = await self._api.get("cluster/resources", type="vm")
        return [guest_of(row) for row in rows]

    async def find(self, vmid: int) -> Guest | None:
        """The guest of this VMID, on whichever node. The list may lag by seconds."""
        found = (one for one in await self.guests() if one.place.vmid == vmid)
        return next(found, None)

    async def config(self, place: Place) -> dict[str, Any] | None:
        """The guest's configuration; None if it has none at this place."""
        try:
            found = await self._api.get(f"{place.path}/config")
        except ProviderRejected as refused:
            if refused.code == "absent":
                return None
            raise
        return dict(found)

    async def status(self, place: Place) -> str:
        """running or stopped, as the node itself says."""
        return str((await self._api.get(f"{place.path}/status/current"))["status"])

    async def pending(self, place: Place) -> bool:
        """Whether it was told something that it takes with its next start."""
        rows = await self._api.get(f"{place.path}/pending")
        return any(
            row.get("delete")
            or str(row.get("pending", row.get("value"))) != str(row.get("value"))
            for row in rows
        )

    async def nodes(self) -> list[Node]:
        """Every node, by name."""
        rows = await self._api.get("nodes")
        return sorted((node_of(row) for row in rows), key=lambda node: node.name)

    async def rights(self) -> set[str]:
        """Every privilege that our token has somewhere, e.g. VM.Clone."""
        held: Mapping[str, Mapping[str, int]] = await self._api.get(
            "access/permissions"
        )
        return {right for rights in held.values() for right in rights}

    async def archives(self, node: str, storage: str) -> set[str]:
        """The volume ids of the containers' templates on a node's storage."""
        rows = await self._api.get(
            f"nodes/{node}/storage/{storage}/content", content="vztmpl"
        )
        return {str(row["volid"]) for row in rows}

    # --- tasks --------------------------------------------------------------------

    async def task(self, upid: str) -> Task:
        """How a task stands. Rejected with code `absent` if the node forgot it."""
        node = upid.split(":")[1]
        row = await self._api.get(f"nodes/{node}/tasks/{quote(upid, safe='')}/status")
        ended = row["status"] == "stopped"
        status = str(row.get("exitstatus") or "unknown") if ended else None
        return Task(upid, str(row["type"]), status)

    async def tasks(self, place: Place) -> list[Task]:
        """The latest tasks about a VMID on its node, newest first."""
        rows = await self._api.get(
            f"nodes/{place.node}/tasks",
            vmid=place.vmid,
            source="all",
            limit=_LATEST,
        )
        return [listed_task_of(row) for row in rows]

    async def log(self, upid: str) -> list[str]:
        """What a task said, line by line: the first 500 of them."""
        node = upid.split(":")[1]
        rows = await self._api.get(
            f"nodes/{node}/tasks/{quote(upid, safe='')}/log", limit=500
        )
        return [str(row["t"]) for row in rows]

    # --- making and removing ------------------------------------------------------

    async def clone(
        self, template: Place, vmid: int, *, name: str, description: str, node: str
    ) -> str:
        """A full clone of a VM template, made with our words in it."""
        return await self._api.task(
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
        return await self._api.task(
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
        return await self._api.task("delete", place.path, **options)

    # --- changing -----------------------------------------------------------------

    async def configure(self, place: Place, **options: str | int) -> None:
        """Sets options at once; what a running guest cannot take waits for a restart.

        A name given with `_` is Proxmox' with `-`; `delete="a,b"` removes options.
        """
        given = {key.replace("_", "-"): value for key, value in options.items()}
        await self._api.call("put", f"{place.path}/config", **given)

    async def grow(self, place: Place, disk: str, gib: int) -> str | None:
        """The disk (`scsi0`, `rootfs`) to this size; its task, if it is one."""
        grown = await self._api.call(
            "put", f"{place.path}/resize", disk=disk, size=f"{gib}G"
        )
        return str(grown) if grown else None

    async def start(self, place: Place) -> str:
        return await self._api.task("post", f"{place.path}/status/start")

    async def stop(self, place: Place) -> str:
        """At once, as if its power was cut."""
        return await self._api.task("post", f"{place.path}/status/stop")

    async def shut_down(self, place: Place, *, within: int) -> str:
        """Asks its system to end, and cuts the power after `within` seconds."""
        return await self._api.task(
            "post", f"{place.path}/status/shutdown", timeout=within, forceStop=1
        )

    async def reboot(self, place: Place, *, within: int) -> str:
        return await self._api.task(
            "post", f"{place.path}/status/reboot", timeout=within
        )

    async def move(self, place: Place, node: str, *, running: bool) -> str:
        """To another node: a VM live, with the disks that lie on this node alone; a
        container by a restart over there."""
        live = {"online": 1, "with-local-disks": 1}
        kept_up = live if place.kind == QEMU else {"restart": 1}
        options: dict[str, str | int] = {"target": node, **(kept_up if running else {})}
        return await self._api.task("post", f"{place.path}/migrate", **options)

    # --- snapshots and backups ----------------------------------------------------

    async def snapshots(self, place: Place) -> dict[str, str]:
        """What each is described as, by name, oldest first."""
        rows = await self._api.get(f"{place.path}/snapshot")
        kept = [row for row in rows if row["name"] != "current"]
        kept.sort(key=lambda row: int(row.get("snaptime") or 0))
        return {
            str(row["name"]): str(row.get("description") or "").strip() for row in kept
        }

    async def snapshot(self, place: Place, name: str, *, description: str) -> str:
        return await self._api.task(
            "post", f"{place.path}/snapshot", snapname=name, description=description
        )

    async def roll_back(self, place: Place, name: str) -> str:
        """The guest is stopped afterwards."""
        return await self._api.task("post", f"{place.path}/snapshot/{name}/rollback")

    async def delete_snapshot(self, place: Place, name: str) -> str:
        return await self._api.task("delete", f"{place.path}/snapshot/{name}")

    async def back_up(self, place: Place, storage: str, *, notes: str) -> str:
        """Of the whole guest; a running VM goes on meanwhile."""
        options = {"notes-template": notes, "compress": "zstd", "mode": "snapshot"}
        return await self._api.task(
            "post",
            f"nodes/{place.node}/vzdump",
            vmid=place.vmid,
            storage=storage,
            **options,
        )

    async def room(self, node: str, storage: str) -> int | None:
        """Bytes that are free on a storage of the node's own; None on a shared one."""
        row = await self._api.get(f"nodes/{node}/storage/{storage}/status")
        return None if row.get("shared") else int(row.get("avail") or 0)

    async def backups(self, node: str, storage: str, vmid: int) -> list[Volume]:
        """The backups of a VMID on a storage, oldest first."""
        rows = await self._api.get(
            f"nodes/{node}/storage/{storage}/content", content="backup", vmid=vmid
        )
        found = (volume_of(row) for row in rows)
        return sorted(found, key=lambda volume: volume.made_at)

    async def restore(self, place: Place, volid: str, *, over: bool) -> str:
        """From a backup; `over` replaces the (stopped) guest that is there."""
        force = {"force": 1} if over else {}
        if place.kind == QEMU:
            return await self._api.task(
                "post",
                f"nodes/{place.node}/qemu",
                vmid=place.vmid,
                archive=volid,
                **force,
            )
        return await self._api.task(
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
            await self._api.call("delete", path)
        except ProviderRejected as refused:
            if refused.code != "absent":
                raise

    # --- inside and around --------------------------------------------------------

    async def addresses(self, place: Place) -> list[str]:
        """What the guest itself says it answers on, by its agent or its node.

        `ProviderDown` with code `agent` while no agent answers.
        """
        if place.kind == LXC:
            rows = await self._api.get(f"{place.path}/interfaces") or []
        else:
            found = await self._api.get(f"{place.path}/agent/network-get-interfaces")
            rows = found["result"]
        return [one for row in rows if row["name"] != "lo" for one in addresses_of(row)]

    async def greets(self, address: str) -> bool:
        """Whether an SSH server speaks there; no, if we do not reach its network."""
        if self._knock is None:
            return False
        try:
            await self._knock(address)
        except OSError:  # also `TimeoutError`
            return False
        return True

    async def guard(self, place: Place, group: str, addresses: Sequence[str]) -> None:
        """Turns the guest's firewall on, with the rules of a security group; what it
        sends from other addresses than its own is dropped."""
        await firewall.guard(self._api, place, group, addresses)

    async def guards(self) -> bool:
        """Whether the cluster's firewall is on, without which no guest's is."""
        return await firewall.is_on(self._api)

    async def series(self, place: Place) -> list[Mapping[str, Any]]:
        """The last hour, a row a minute: time, cpu (of maxcpu), mem, disk (bytes),
        netin, netout (bytes a second)."""
        found = await self._api.get(
            f"{place.path}/rrddata", timeframe="hour", cf="AVERAGE"
        )
        return [dict(row) for row in found]

    async def console(self, place: Place) -> tuple[str, int]:
        """(ticket, port) for one connection to its screen, within 40 seconds."""
        made = await self._api.call("post", f"{place.path}/vncproxy", websocket=1)
        return str(made["ticket"]), int(made["port"])

    async def aclose(self) -> None:
        """Lets calls that are under way end by themselves."""
        self._api.close()
