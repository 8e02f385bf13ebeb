"""A Proxmox cluster in the worker's memory, by the interface of its client.

What takes a while is a task: asked for, begun, and only then done. A guest that is
being made has a lock, a number that is taken is refused, and nothing is done for a
guest that is not there.
"""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from activities.errors import ProviderDown, ProviderRejected
from activities.providers.proxmox import Guest, Node, Place, Task

PROVIDER: Final = "proxmox"
NODES: Final = ("pve1", "pve2", "pve3")
TEMPLATE: Final = Place(NODES[0], "qemu", 9000)
MEMORY: Final = 16 * 1024**4
_SIZE = re.compile(r"size=\d+G")
_ADDRESS = re.compile(r"ip6?=([0-9a-f.:]+)/")


class Machine:
    """One guest; `config` as Proxmox has it."""

    def __init__(self, place: Place, config: dict[str, Any], lock: str | None) -> None:
        self.place, self.config, self.lock = place, config, lock
        self.status = "stopped"


class Cluster:
    """Three nodes with room for everybody, and one template."""

    def __init__(self, told_at_the_end: str | None = None) -> None:
        self._told = told_at_the_end
        disk = {"name": "debian-13", "scsi0": "ceph:base-9000-disk-0,size=4G"}
        self._machines = {TEMPLATE.vmid: Machine(TEMPLATE, disk, None)}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._guarded: set[int] = set()
        self._asked: Counter[str] = Counter()

    @staticmethod
    def place(node: str, kind: str, vmid: int) -> Place:
        return Place(node, kind, vmid)

    # --- what is there ------------------------------------------------------------

    async def guests(self) -> list[Guest]:
        return [_listed(one) for one in self._machines.values()]

    async def find(self, vmid: int) -> Guest | None:
        found = self._machines.get(vmid)
        return _listed(found) if found else None

    async def config(self, place: Place) -> dict[str, Any] | None:
        found = self._machines.get(place.vmid)
        if found is None or found.place != place:
            return None
        return {**found.config, **({"lock": found.lock} if found.lock else {})}

    async def status(self, place: Place) -> str:
        return self._at(place).status

    async def nodes(self) -> list[Node]:
        return [Node(name, True, 256, MEMORY) for name in NODES]

    async def series(self, place: Place) -> list[Mapping[str, Any]]:
        self._at(place)
        return []

    async def addresses(self, place: Place) -> list[str]:
        """Of one that runs, as cloud-init was told."""
        guest = self._at(place)
        if guest.status != "running":
            raise ProviderDown(PROVIDER, f"{place.vmid} is not running", code="agent")
        return _ADDRESS.findall(str(guest.config.get("ipconfig0")))

    async def greets(self, address: str) -> bool:
        """Nobody does."""
        return False

    # --- tasks --------------------------------------------------------------------

    async def task(self, upid: str) -> Task:
        if upid not in self._tasks:
            raise ProviderRejected(PROVIDER, f"no such task {upid}", code="absent")
        await asyncio.sleep(0)
        run, kind = self._tasks[upid], upid.split(":")[2]
        if not run.done():
            return Task(upid, kind, None)
        failed = run.exception()
        return Task(upid, kind, "OK" if failed is None else str(failed))

    def _begin(self, place: Place, kind: str, work: Callable[[], None]) -> str:
        self._asked[kind] += 1
        upid = f"UPID:{place.node}:{kind}:{place.vmid}:{len(self._tasks)}"

        async def run() -> None:
            work()

        self._tasks[upid] = asyncio.create_task(run())
        return upid

    # --- making and changing ------------------------------------------------------

    async def clone(
        self, template: Place, vmid: int, *, name: str, description: str, node: str
    ) -> str:
        if vmid in self._machines:
            raise ProviderRejected(PROVIDER, f"{vmid} already exists", code="exists")
        whole = Place(node, "qemu", vmid)
        config = {
            **self._at(template).config,
            "name": name,
            "description": description,
            "scsi0": f"ceph:vm-{vmid}-disk-0,size=4G",
        }
        made = self._machines[vmid] = Machine(whole, config, "clone")

        def unlock() -> None:
            made.lock = None

        return self._begin(template, "qmclone", unlock)

    async def configure(self, place: Place, **options: str | int) -> None:
        self._free(place).config.update(options)

    async def grow(self, place: Place, disk: str, gib: int) -> str:
        guest = self._free(place)

        def grown() -> None:
            guest.config[disk] = _SIZE.sub(f"size={gib}G", str(guest.config[disk]))

        return self._begin(place, "resize", grown)

    async def guard(self, place: Place, group: str, addresses: Sequence[str]) -> None:
        self._at(place)
        self._guarded.add(place.vmid)

    async def start(self, place: Place) -> str:
        guest = self._free(place)

        def started() -> None:
            guest.status = "running"

        return self._begin(place, "qmstart", started)

    async def aclose(self) -> None:
        """Tells what there is, for whoever holds it against the rows."""
        if self._told:
            there = {
                guest.place.vmid: {
                    "mark": guest.config.get("description"),
                    "ip": _ADDRESS.findall(str(guest.config.get("ipconfig0"))),
                    "status": guest.status,
                    "guarded": guest.place.vmid in self._guarded,
                }
                for guest in self._machines.values()
                if guest.place != TEMPLATE
            }
            told = json.dumps({"guests": there, "tasks": self._asked})
            await asyncio.to_thread(Path(self._told).write_text, told)

    def _at(self, place: Place) -> Machine:
        found = self._machines.get(place.vmid)
        if found is None or found.place != place:
            raise ProviderRejected(PROVIDER, f"{place.path} is absent", code="absent")
        return found

    def _free(self, place: Place) -> Machine:
        found = self._at(place)
        if found.lock:
            raise ProviderDown(PROVIDER, f"{place.vmid} is locked", code="lock")
        return found


def _listed(one: Machine) -> Guest:
    tags = tuple(str(one.config.get("tags", "")).split(";"))
    return Guest(
        one.place,
        str(one.config["name"]),
        one.status,
        one.place == TEMPLATE,
        tags,
        one.lock,
        int(one.config.get("cores", 1)),
        int(one.config.get("memory", 512)) << 20,
        0,
    )
