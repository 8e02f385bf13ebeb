"""fakepve behind our fault scripts, with three nodes, templates and storage."""

import asyncio
import itertools
import json
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from fakepve.firewall import empty_conf
from fakepve.model import PveError, TaskError
from fakepve.server import API, FakePve, error, ok

from simulators.faults import Garbled, Killed, Refused, Withheld
from simulators.proxmox.guests import CORES, MEMORY, GiB, GuestRoutes
from simulators.proxmox.memory import UNFINISHED

if TYPE_CHECKING:
    from simulators.core import Call
    from simulators.proxmox import Proxmox

NODES: Final = ("pve1", "pve2", "pve3")
VM_TEMPLATE, CT_TEMPLATE = 9000, "local:vztmpl/debian-13-standard_13.1-1_amd64.tar.zst"
BACKUPS: Final = "backups"
_BACKUP_WAITS: Final = 3 * 3600
_TOLD_BY_NODE: Final = {"name", "template", "maxcpu", "maxmem", "maxdisk", "uptime"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Body = Callable[[], Awaitable[str | None]]


class Cluster(GuestRoutes, FakePve):  # type: ignore[misc] # fakepve has no types
    """Every request and every task is a call of the simulator."""

    def __init__(self, sim: "Proxmox", settings: dict[str, Any]) -> None:
        super().__init__(host="127.0.0.1", port=settings.get("api_port", 0))
        self.sim = sim
        self._node_names = tuple(settings.get("nodes", NODES))
        self._tokens = {settings["token_id"]: settings["token_secret"]}
        self.furnish()

    def furnish(self) -> None:
        """The cluster as it is when nobody has used it."""
        self.apitokens = dict(self._tokens)
        self.deaf: set[str] = set()
        # Before Proxmox 8.3 a container's addresses had no list of their own.
        self.older = False
        # Not 0, which would end each task before its request is answered.
        self.time_scale = 0.001
        self._fw().update(cluster=empty_conf(), nodes={}, guests={})
        self.firewall_config("cluster")["options"]["enable"] = 1
        self.vms: list[Any] = []
        self.cts: list[Any] = []
        self.pools: dict[str, set[int]] = {}
        self.nodes = {name: {"online": True} for name in self._node_names}
        self.tasks: dict[str, dict[str, Any]] = {}
        self.tasklog: list[dict[str, Any]] = []
        self._pids = itertools.count(int(time.time()) % 100_000)
        # A container's configuration does not tell which keys were put into it.
        self.root_keys: dict[int, str] = {}
        self.storages: dict[str, dict[str, Any]] = {
            "local": {
                "type": "dir",
                "active": 1,
                "content": "iso,vztmpl,snippets",
                "path": "/var/lib/vz",
                "files": set(),
                "volumes": {
                    CT_TEMPLATE.partition(":")[2]: {
                        "content": "vztmpl",
                        "format": "tzst",
                        "size": 120 * 1024**2,
                        "ctime": 0,
                    }
                },
            },
            "ceph": {
                "type": "rbd",
                "active": 1,
                "shared": 1,
                "content": "images,rootdir",
                "files": set(),
                "avail": 64 * 1024 * GiB,
                "total": 64 * 1024 * GiB,
            },
            BACKUPS: {
                "type": "nfs",
                "active": 1,
                "shared": 1,
                "content": "backup",
                "path": "/mnt/pve/backups",
                "files": set(),
                "avail": 64 * 1024 * GiB,
            },
        }
        disk = {"content": "images", "format": "raw", "size": 4 * GiB, "ctime": 0}
        self.storages["ceph"]["volumes"] = {"base-9000-disk-0": disk | {"vmid": 9000}}
        self.add_vm(
            VM_TEMPLATE,
            "debian-13",
            node=self._node_names[0],
            template=True,
            config={
                "scsi0": "ceph:base-9000-disk-0,size=4G",
                "ide2": "ceph:vm-9000-cloudinit,media=cdrom",
                "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1",
                "agent": "enabled=1",
                "cores": 1,
                "memory": 512,
                "ostype": "l26",
                "boot": "order=scsi0",
            },
        )

    # --- every request is a call --------------------------------------------------

    async def start(self, certfile: str, keyfile: str) -> None:
        """See base class."""
        await super().start(certfile, keyfile)
        # An answer that a fault withholds is not waited for at the end.
        self.runner._shutdown_timeout = 0.2

    @staticmethod
    def _node_stats(online: bool) -> dict[str, Any]:
        if not online:
            return {}
        return {
            "cpu": 0.02,
            "maxcpu": CORES,
            "mem": 2 * GiB,
            "maxmem": MEMORY,
            "disk": 4 * GiB,
            "maxdisk": 64 * GiB,
            "uptime": 3600,
        }

    def _build_app(self) -> web.Application:
        app: web.Application = super()._build_app()
        app.middlewares.insert(0, self._scripted)
        return app

    @web.middleware
    async def _scripted(
        self, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        match = self.resolve(request, API)
        op = f"{request.method} {match.template if match else request.path}"
        try:
            async with self.sim.call(op, _token(request)) as call:
                if "tail" in request.match_info:
                    raise Refused(501, message=f"nobody has modelled {op}")
                response = await handler(request)
                self.settle(call)
                call.answer(response.status)
                return response
        except Refused as refused:
            return _worded(refused)
        except Garbled:
            return web.Response(body=b"<html>\xff\xfe", content_type="text/html")
        except Withheld as withheld:
            await asyncio.sleep(withheld.seconds)
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError from None

    async def task(
        self,
        node: str,
        ttype: str,
        tid: object,
        user: str,
        body: Body,
        **given: Any,
    ) -> str:
        """See base class; what it runs is the operation `task <type>`.

        Whoever asked for it may be killed meanwhile: it goes on, for the `seconds` of
        that script.
        """

        begun, note = False, None

        async def scripted() -> str | None:
            nonlocal begun, note
            try:
                async with self.sim.call(f"task {ttype}", str(tid)) as call:
                    begun = True
                    try:
                        note = await body()
                    finally:
                        self.settle(call)
            except Killed as killed:
                if not begun:
                    await asyncio.sleep(killed.seconds)
                    note = await body()
                    self.settle()
            except Refused as refused:
                if not begun:
                    self._clean_up_behind(given.get("vm"))
                raise TaskError(refused.message) from None
            except (Withheld, Garbled):
                raise TaskError("interrupted by signal") from None
            return note

        upid: str = await super().task(node, ttype, tid, user, scripted, **given)
        return upid

    def _task_view(self, task: dict[str, Any], listing: bool = False) -> dict[str, Any]:
        """See base class; in Proxmox' list one that runs has the status RUNNING."""
        shown: dict[str, Any] = super()._task_view(task, listing)
        if listing and task["status"] == "running":
            shown["status"] = "RUNNING"
        return shown

    async def _lxc_interfaces(self, user: str, v: dict[str, Any]) -> Any:
        """See base class."""
        told = await super()._lxc_interfaces(user, v)
        newer = ("ip-addresses", "hardware-address") if self.older else ()
        return told and [
            {key: value for key, value in one.items() if key not in newer}
            for one in told
        ]

    async def _resources(self, request: web.Request) -> web.Response:
        """See base class; of a guest whose node is away, what its node would tell is
        not known: neither its name nor whether it is a template."""
        whole: web.Response = await super()._resources(request)
        rows: list[dict[str, Any]] = json.loads(str(whole.text))["data"]
        for row in rows:
            if row.get("status") == "unknown":
                for told in _TOLD_BY_NODE & row.keys():
                    del row[told]
        answer: web.Response = ok(rows)
        return answer

    def _get_task(self, request: web.Request) -> Any:
        """See base class; one that the node has forgotten is a wrong parameter."""
        if request.match_info["upid"] not in self.tasks:
            raise PveError(
                400, "Parameter verification failed.", {"upid": "no such task"}
            )
        return super()._get_task(request)

    async def _config_get(self, request: web.Request) -> web.Response:
        """See base class; until a clone is whole its configuration is only a lock."""
        whole: web.Response = await super()._config_get(request)
        vm = self.vm(int(request.match_info["vmid"]))
        return whole if vm.lock != "clone" else ok({"lock": vm.lock, "digest": ""})

    async def acquire(self, vm: Any, holder: str, wait: float | None = None) -> None:
        """See base class; here a lock is waited for as long as Proxmox does, and a
        backup waits until another one has ended."""
        seconds = self.lock_wait if wait is None else wait
        if ":vzdump:" in holder:
            seconds = _BACKUP_WAITS
        await super().acquire(vm, holder, seconds / self.time_scale)

    def _clean_up_behind(self, guest: Any) -> None:
        """Its task failed before it did anything: what was being made is no more."""
        if guest is not None and guest.lock in UNFINISHED:
            kept: list[Any] = self.vms if guest in self.vms else self.cts
            kept.remove(guest)

    def settle(self, call: "Call | None" = None) -> None:
        """After anything that may have changed a guest: agents answer, effects are
        written down."""
        for vm in self.vms:
            if vm.status == "running" and "enabled=1" in str(vm.config.get("agent")):
                vm.agent = {"interfaces": _interfaces(vm.config, self.deaf)}
            elif vm.status != "running":
                vm.agent = None
        self.sim.memory.note(call)


def _token(request: web.Request) -> str:
    return request.headers.get("Authorization", "").partition("=")[2].partition("=")[0]


def _worded(refused: Refused) -> web.Response:
    response: web.Response = error(refused.status, refused.message or "refused")
    if refused.retry_after is not None:
        response.headers["Retry-After"] = f"{refused.retry_after:g}"
    return response


def _interfaces(config: dict[str, Any], deaf: set[str]) -> list[dict[str, Any]]:
    """What the guest agent tells: the addresses that cloud-init was given, but for
    the families (`ip`, `ip6`) that nobody took."""
    given = dict(
        part.partition("=")[::2] for part in str(config.get("ipconfig0", "")).split(",")
    )
    addresses = []
    for field, kind in (("ip", "ipv4"), ("ip6", "ipv6")):
        address, slash, prefix = given.get(field, "").partition("/")
        if slash and field not in deaf:
            addresses.append(
                {
                    "ip-address": address,
                    "ip-address-type": kind,
                    "prefix": int(prefix),
                }
            )
    return [{"name": "eth0", "ip-addresses": addresses}]
