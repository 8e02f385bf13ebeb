"""What fakepve lacks: VMs that move and grow, backups, restoring, figures."""

import copy
import re
import time
from typing import TYPE_CHECKING, Any, Final

from fakepve.lxc import FakeCt, format_size, parse_size
from fakepve.model import FakeVm, PveError, TaskError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Route = tuple[str, str, Callable[[dict[str, Any], str], Awaitable[Any]]]

_NODE: Final = "/nodes/{node}"
_ONE: Final = _NODE + "/qemu/{vmid}"
_SIZE = re.compile(r"size=([^,]+)")
GiB: Final = 1024**3
CORES, MEMORY = 16, 64 * GiB


class GuestRoutes:
    """Mixin for FakePve; each handler takes (values, user) and gives `data`."""

    def _routes_our_guests(self: Any) -> "list[Route]":
        return [
            ("GET", _ONE + "/migrate", self._may_move),
            ("POST", _ONE + "/migrate", self._move),
            ("PUT", _ONE + "/resize", self._grow),
            ("POST", _NODE + "/vzdump", self._dump),
            ("GET", _NODE + "/status", self._figures),
            ("GET", _ONE + "/rrddata", self._series),
            ("GET", _NODE + "/lxc/{vmid}/rrddata", self._series),
            ("POST", _NODE + "/lxc/{vmid}/vncproxy", self._console),
        ]

    async def _may_move(self: Any, v: dict[str, Any], _user: str) -> dict[str, Any]:
        vm = self.find(v["node"], v["vmid"])
        return {
            "running": int(vm.status == "running"),
            "local_disks": [],
            "local_resources": [],
            "allowed_nodes": [
                name
                for name, state in self.nodes.items()
                if state["online"] and name != vm.node
            ],
        }

    async def _move(self: Any, v: dict[str, Any], user: str) -> str:
        vm, target = self.find(v["node"], v["vmid"]), v["target"]
        if target == vm.node:
            raise PveError(
                400,
                "Parameter verification failed.",
                {"target": "target is local node."},
            )
        if target not in self.nodes:
            raise PveError(500, f"no such cluster node '{target}'")
        self._check_lock(vm)
        if vm.status == "running" and not v.get("online"):
            raise PveError(500, "can't migrate running VM without --online")

        async def body() -> None:
            if not self.nodes[target]["online"]:
                raise TaskError(f"Can't connect to destination address of '{target}'")
            if obstacle := self._obstacle(vm, v):
                # As Proxmox does it: why stands in the log alone.
                log = self._log_of("qmigrate", vm.vmid)
                log.append(f"ERROR: migration aborted (duration 00:00:00): {obstacle}")
                raise TaskError("migration aborted")
            vm.node = target

        moved: str = await self.task(vm.node, "qmigrate", vm.vmid, user, body, vm=vm)
        return moved

    def _obstacle(self: Any, vm: Any, v: dict[str, Any]) -> str | None:
        """What does not go with it to another node."""
        if devices := [key for key in vm.config if key.startswith("hostpci")]:
            return f"can't migrate VM which uses local devices: {', '.join(devices)}"
        storages = [str(drive).partition(":")[0] for drive in vm.config.values()]
        local = any(
            not self.storages[one].get("shared")
            for one in storages
            if one in self.storages
        )
        if local and vm.status == "running" and not v.get("with-local-disks"):
            return (
                "can't live migrate attached local disks without with-local-disks"
                " option"
            )
        return None

    def _log_of(self: Any, kind: str, vmid: int) -> list[str]:
        """Of the task that is under way."""
        tasks = [
            one
            for one in self.tasklog
            if (one["type"], one["id"], one["status"]) == (kind, str(vmid), "running")
        ]
        log: list[str] = tasks[-1]["log"]
        return log

    async def _grow(self: Any, v: dict[str, Any], user: str) -> str:
        vm, disk = self.find(v["node"], v["vmid"]), v["disk"]
        self._check_lock(vm)
        value = vm.config.get(disk)
        if value is None:
            raise PveError(500, f"disk '{disk}' does not exist")
        found = _SIZE.search(value)
        size = parse_size(found.group(1)) if found else 0
        asked = parse_size(v["size"].lstrip("+"))
        if asked is None:
            raise PveError(400, "Parameter verification failed.", {"size": "invalid"})
        wanted = size + asked if v["size"].startswith("+") else asked
        if wanted < size:
            raise PveError(500, "shrinking disks is not supported")

        async def body() -> None:
            vm.config[disk] = _SIZE.sub("", value).rstrip(",") + (
                f",size={format_size(wanted)}"
            )
            volume = self._qm_volume(value.partition(",")[0])
            if volume is not None:
                volume["size"] = wanted

        grown: str = await self.task(vm.node, "resize", vm.vmid, user, body, vm=vm)
        return grown

    async def _dump(self: Any, v: dict[str, Any], user: str) -> str:
        vmid, name = int(v["vmid"]), v.get("storage", "local")
        guest = self.guest(vmid)
        if guest is None or guest.node != v["node"]:
            raise PveError(500, f"unable to find VM '{vmid}'")
        store = self.storages.get(name)
        if store is None or "backup" not in store["content"]:
            raise PveError(500, f"storage '{name}' does not support backups")
        kind = "lxc" if isinstance(guest, FakeCt) else "qemu"
        made = time.time()
        stamp = time.strftime("%Y_%m_%d-%H_%M_%S", time.gmtime(made))
        ending = "tar.zst" if kind == "lxc" else "vma.zst"
        volume = f"backup/vzdump-{kind}-{vmid}-{stamp}.{ending}"

        async def body() -> str:
            if guest.lock:
                # As Proxmox does it: why stands in the log alone.
                self._log_of("vzdump", vmid).append(
                    f"ERROR: Backup of VM {vmid} failed - VM is locked ({guest.lock})"
                )
                raise TaskError("job errors")
            store.setdefault("volumes", {})[volume] = {
                "content": "backup",
                "format": ending,
                "size": 512 * 1024**2,
                "vmid": vmid,
                "ctime": int(made),
                "notes": v.get("notes-template", ""),
                "config": copy.deepcopy(guest.config),
            }
            return f"INFO: creating vzdump archive '/mnt/pve/{name}/dump/{volume}'"

        dumped: str = await self.task(v["node"], "vzdump", vmid, user, body, vm=guest)
        return dumped

    def _backup(self: Any, volid: str) -> dict[str, Any]:
        name, _, volume = volid.partition(":")
        found = self.storages.get(name, {}).get("volumes", {}).get(volume)
        if found is None or "config" not in found:
            raise PveError(500, f"unable to restore - volume '{volid}' does not exist")
        return dict(copy.deepcopy(found["config"]))

    async def _qm_create(self: Any, v: dict[str, Any], user: str) -> str:
        """Made as fakepve makes it, or restored from one of our backups."""
        if not v.get("archive"):
            made: str = await super()._qm_create(v, user)  # type: ignore[misc]
            return made
        config, vmid, node = self._backup(v["archive"]), int(v["vmid"]), v["node"]
        standing = self.guest(vmid)
        if standing is not None and not v.get("force"):
            raise PveError(500, f"unable to restore VM {vmid} - already exists")
        if standing is not None and standing.status == "running":
            raise PveError(500, f"unable to restore VM {vmid} - VM is running")

        async def body() -> None:
            if standing is not None:
                self.vms.remove(standing)
            config.pop("parent", None)
            vm = FakeVm(vmid, config.get("name") or f"VM {vmid}", node=node)
            vm.config = config
            self.vms.append(vm)

        restored: str = await self.task(node, "qmrestore", vmid, user, body)
        return restored

    async def _lxc_create(self: Any, user: str, v: dict[str, Any]) -> str:
        """Made as fakepve makes it, or restored from one of our backups."""
        if not v.get("restore"):
            name, _, volume = v["ostemplate"].partition(":")
            if volume not in self.storages.get(name, {}).get("volumes", {}):
                raise PveError(500, f"volume '{v['ostemplate']}' does not exist")
            self.root_keys[int(v["vmid"])] = v.get("ssh-public-keys", "")
            made: str = await super()._lxc_create(user, v)  # type: ignore[misc]
            return made
        config, vmid, node = self._backup(v["ostemplate"]), int(v["vmid"]), v["node"]
        standing = self.guest(vmid)
        if standing is not None and not v.get("force"):
            raise PveError(500, f"unable to restore CT {vmid} - already exists")
        if standing is not None and standing.status == "running":
            raise PveError(500, f"unable to restore CT {vmid} - CT is running")

        async def body() -> None:
            if standing is not None:
                self.cts.remove(standing)
            config.pop("parent", None)
            self.cts.append(FakeCt(vmid, node=node, defaults=False, config=config))

        restored: str = await self.task(node, "vzrestore", vmid, user, body)
        return restored

    async def _figures(self: Any, v: dict[str, Any], _user: str) -> dict[str, Any]:
        """Of a node with 16 cores and 64 GiB; what its guests were promised is used."""
        guests = [
            guest
            for guest in (*self.vms, *self.cts)
            if guest.node == v["node"] and guest.status == "running"
        ]
        used = sum(int(guest.config.get("memory", 512)) for guest in guests)
        total = MEMORY
        return {
            "cpu": min(1.0, 0.02 * len(guests)),
            "cpuinfo": {"cpus": CORES, "cores": 8, "sockets": 2, "model": "simulated"},
            "loadavg": ["0.10", "0.10", "0.10"],
            "memory": {
                "total": total,
                "used": used * 1024**2,
                "free": total - used * 1024**2,
            },
            "rootfs": {"total": 64 * GiB, "used": 4 * GiB, "avail": 60 * GiB},
            "swap": {"total": 0, "used": 0, "free": 0},
            "uptime": 3600,
            "pveversion": f"pve-manager/{self.version}/simulated",
            "kversion": "Linux 6.14",
            "wait": 0,
        }

    async def _series(self: Any, v: dict[str, Any], _user: str) -> list[dict[str, Any]]:
        """One row a minute for an hour, steady, so that sums can be checked."""
        guest = self.guest(int(v["vmid"]))
        if guest is None or guest.node != v["node"]:
            raise PveError(500, f"no such guest '{v['vmid']}'")
        now = int(time.time()) // 60 * 60
        running = guest.status == "running"
        memory = int(guest.config.get("memory", 512)) * 1024**2
        cores = int(guest.config.get("cores", 1))
        return [
            {
                "time": now - 60 * minute,
                "cpu": 0.25 if running else 0.0,
                "maxcpu": cores,
                "mem": memory // 4 if running else 0,
                "maxmem": memory,
                "disk": GiB,
                "maxdisk": 10 * GiB,
                "netin": 1000.0 if running else 0.0,
                "netout": 2000.0 if running else 0.0,
                "diskread": 0.0,
                "diskwrite": 0.0,
            }
            for minute in range(60, 0, -1)
        ]

    async def _console(self: Any, v: dict[str, Any], user: str) -> dict[str, Any]:
        guest = self._find_ct(v["node"], v["vmid"])
        return {
            "ticket": f"PVEVNC:{guest.vmid}:{int(time.time()):X}",
            "port": "5900",
            "user": user,
            "cert": "",
            "upid": f"UPID:{guest.node}:vncproxy:{guest.vmid}:",
        }
