"""What survives a kill -9, and the ledger: both are the difference between two looks.

A guest counts from the moment it is whole: while it is being made it has a lock, and a
making that is interrupted leaves nothing, as Proxmox cleans up behind a dead task.
"""

import copy
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from fakepve.lxc import FakeCt
from fakepve.model import FakeVm

if TYPE_CHECKING:
    from simulators.core import Call
    from simulators.proxmox.cluster import Cluster
    from simulators.store import Store

UNFINISHED: Final = ("create", "clone", "destroyed")
_INTERRUPTED: Final = "interrupted by signal"
Effect = tuple[str, str, dict[str, Any]]
# Changes of these are noise, or have an effect of their own.
_UNCOUNTED: Final = ("lock", "parent", "digest")


class Memory:
    """Keeps guests, backups, tasks, firewalls and nodes of a cluster in the store."""

    def __init__(self, store: "Store", cluster: "Cluster") -> None:
        self._store, self._cluster = store, cluster
        self._guests: dict[str, dict[str, Any]] = {}
        self._backups: dict[str, dict[str, Any]] = {}
        self._tasks: dict[str, str] = {}
        self._firewall = ""

    def note(self, call: "Call | None") -> None:
        """Writes down what has changed since the last look, with its effects."""
        guests = {str(g["vmid"]): g for g in map(_seen, self._living())}
        backups = _backups_of(self._cluster)
        with self._store.change():
            for effect, key, detail in _effects(
                self._guests, guests, self._backups, backups
            ):
                self._store.add_effect(effect, key, detail, call.id if call else None)
            self._keep("guest", self._guests, guests)
            self._keep("backup", self._backups, backups)
            for upid, task in self._cluster.tasks.items():
                if self._tasks.get(upid) != task["status"]:
                    self._store.put("task", upid, task)
                    self._tasks[upid] = task["status"]
            self._keep_firewall()
        self._guests, self._backups = guests, backups

    def note_nodes(self) -> None:
        """Which nodes are up is kept, too."""
        states = {n: s["online"] for n, s in self._cluster.nodes.items()}
        self._store.set_setting("nodes", states)

    def recall(self) -> None:
        """The cluster as it was when its process died."""
        cluster = self._cluster
        for name, online in self._store.setting("nodes", {}).items():
            cluster.set_node_offline(name, offline=not online)
        known = self._store.each("guest")
        if known:
            cluster.vms = [_vm(g) for g in known if g["kind"] == "qemu"]
            cluster.cts = [_ct(g) for g in known if g["kind"] == "lxc"]
        for backup in self._store.each("backup"):
            store, _, volume = backup["volid"].partition(":")
            volumes: dict[str, Any] = cluster.storages[store].setdefault("volumes", {})
            volumes[volume] = {k: v for k, v in backup.items() if k != "volid"}
        for task in self._store.each("task"):
            if task["status"] == "running":
                task |= {"status": "stopped", "exitstatus": _INTERRUPTED}
            cluster.tasks[task["upid"]] = task
            cluster.tasklog.append(task)
            self._tasks[task["upid"]] = ""
        if walls := self._store.setting("firewall"):
            guests = {int(vmid): wall for vmid, wall in walls["guests"].items()}
            cluster._fw().update(walls | {"guests": guests})
        self._guests = {str(g["vmid"]): g for g in map(_seen, self._living())}
        self._backups = _backups_of(cluster)
        with self._store.change():
            self._keep("guest", {}, self._guests)

    def _living(self) -> list[Any]:
        both = (*self._cluster.vms, *self._cluster.cts)
        return [guest for guest in both if guest.lock not in UNFINISHED]

    def _keep_firewall(self) -> None:
        walls = self._cluster._fw()
        if (told := json.dumps(walls)) != self._firewall:
            self._store.set_setting("firewall", walls)
            self._firewall = told

    def _keep(self, kind: str, before: dict[str, Any], now: dict[str, Any]) -> None:
        for key in before.keys() - now.keys():
            self._store.remove(kind, key)
        for key, body in now.items():
            if before.get(key) != body:
                self._store.put(kind, key, body)


def _seen(guest: Any) -> dict[str, Any]:
    return {
        "vmid": guest.vmid,
        "kind": "lxc" if isinstance(guest, FakeCt) else "qemu",
        "node": guest.node,
        "status": guest.status,
        "template": bool(guest.template),
        "config": copy.deepcopy(guest.config),
        "pending": copy.deepcopy(guest.pending),
        "snapshots": copy.deepcopy(guest.snapshots),
    }


def _vm(seen: dict[str, Any]) -> FakeVm:
    vm = FakeVm(
        seen["vmid"],
        seen["config"].get("name", ""),
        node=seen["node"],
        status=seen["status"],
        template=seen["template"],
        config=seen["config"],
        pending=seen["pending"],
    )
    vm.snapshots = seen["snapshots"]
    vm.config.pop("lock", None)
    return vm


def _ct(seen: dict[str, Any]) -> FakeCt:
    ct = FakeCt(
        seen["vmid"],
        node=seen["node"],
        status=seen["status"],
        config=seen["config"],
        pending=seen["pending"],
        defaults=False,
    )
    ct.snapshots = seen["snapshots"]
    ct.config.pop("lock", None)
    return ct


def _backups_of(cluster: "Cluster") -> dict[str, dict[str, Any]]:
    return {
        f"{name}:{volume}": copy.deepcopy(body) | {"volid": f"{name}:{volume}"}
        for name, store in cluster.storages.items()
        for volume, body in store.get("volumes", {}).items()
        if body["content"] == "backup"
    }


def _effects(
    before: dict[str, Any],
    now: dict[str, Any],
    backups_before: dict[str, Any],
    backups: dict[str, Any],
) -> Iterator[Effect]:
    for key in before.keys() - now.keys():
        yield "guest.removed", key, {}
    for key, guest in now.items():
        was = before.get(key)
        if was is None:
            yield "guest.created", key, {"kind": guest["kind"], "node": guest["node"]}
            was = guest | {"status": "stopped", "snapshots": {}}
        yield from _changes(key, was, guest)
    for key in backups_before.keys() - backups.keys():
        yield "backup.removed", key, {}
    for key in backups.keys() - backups_before.keys():
        yield "backup.made", key, {}


def _changes(key: str, was: dict[str, Any], now: dict[str, Any]) -> Iterator[Effect]:
    if was["node"] != now["node"]:
        yield "guest.moved", key, {"to": now["node"]}
    old, new = _counted(was), _counted(now)
    if changed := {k for k in old.keys() | new.keys() if old.get(k) != new.get(k)}:
        yield "guest.changed", key, {"keys": sorted(changed)}
    if was["status"] != now["status"]:
        act = "started" if now["status"] == "running" else "stopped"
        yield f"guest.{act}", key, {}
    for name in now["snapshots"].keys() - was["snapshots"].keys():
        yield "snapshot.made", f"{key}:{name}", {}
    for name in was["snapshots"].keys() - now["snapshots"].keys():
        yield "snapshot.removed", f"{key}:{name}", {}


def _counted(guest: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in guest["config"].items() if k not in _UNCOUNTED}
