"""What is to be seen of each step of a CloudPod's jobs, once it is done."""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from workers.demo.outside import Cluster, Names, PodRow, Rows, size_of
from workers.demo.timeline import Job

_UPID: Final = (
    "select coalesce(facts->>'upid', facts->>'made_by') as upid from effects"
    " where provider = 'proxmox' and kind = 'guest' and owner_id = %s"
)
_WHILE: Final = ("create_guest", "hold_removal")


class PodSteps:
    """Looks once when a step is done, and each time while one is under way that has
    something to show by then."""

    def __init__(self, rows: Rows, cluster: Cluster, names: Names) -> None:
        self._rows, self._cluster, self._names = rows, cluster, names
        self._seen: dict[tuple[str, str], str] = {}
        # As it was when it had a place: a row that is done forgets its numbers.
        self.placed: PodRow | None = None

    def fact(self, job: Job, step: dict[str, Any]) -> str:
        """See `workers.demo.timeline`."""
        key, done = (job["id"], step["name"]), step["status"] == "succeeded"
        look = self._looks.get(step["name"])
        if look is None or not (done or step["name"] in _WHILE):
            return ""
        if key not in self._seen or not done:
            pod = self._rows.pod(job["targetId"])
            if pod.vmid is not None:
                self.placed = pod
            seen = look(self, self.placed or pod, job)
            if not done:
                return seen
            self._seen[key] = seen
        return self._seen[key]

    # --- born -----------------------------------------------------------------------

    def _place(self, pod: PodRow, _job: Job) -> str:
        return f"VMID {pod.vmid} on {pod.node}\n{', '.join(pod.addresses)}"

    def _task(self, pod: PodRow, _job: Job) -> str:
        found = self._rows.ask(_UPID, pod.id)
        return str(found[0]["upid"] or "") if found else ""

    def _lead(self, pod: PodRow, _job: Job) -> str:
        lines = [pod.hostname]
        for address in pod.addresses:
            there = self._names.ask(pod.hostname, "AAAA" if ":" in address else "A")
            back = self._names.back(address)
            way = "and back" if back == pod.hostname else f"but back to {back}"
            lines.append(f"→ {there}, {way}")
        return "\n".join(lines)

    def _configured(self, pod: PodRow, job: Job) -> str:
        config, waits = self._cluster.config(pod), self._cluster.waiting(pod)
        now = config | waits
        size = f"{now.get('cores')} cores, {now.get('memory')} MiB"
        if job["type"] != "cloudpod_provision":
            return f"{size}, once it restarts" if waits else size
        nets = str(config.get("ipconfig0")).replace(",ip6=", "\nip6=")
        return f"{size}\ncloud-init for {config.get('ciuser')}, with\n{nets}"

    def _grown(self, pod: PodRow, _job: Job) -> str:
        return f"{size_of(self._cluster.config(pod)).disk} GiB"

    def _guarded(self, pod: PodRow, _job: Job) -> str:
        path = f"nodes/{pod.node}/qemu/{pod.vmid}/firewall"
        options = self._cluster.get(f"{path}/options")
        rules = self._cluster.get(f"{path}/rules")
        groups = [str(one["action"]) for one in rules if one["type"] == "group"]
        state = "on" if options.get("enable") else "off"
        own = self._cluster.get(f"{path}/ipset/ipfilter-net0")
        senders = ", ".join(sorted(str(one["cidr"]) for one in own))
        return (
            f"firewall {state}, group {', '.join(groups) or 'none'}\n"
            f"sends as {senders or 'nobody'}"
        )

    def _running(self, pod: PodRow, _job: Job) -> str:
        return f"its node says {self._cluster.status(pod)}"

    def _answering(self, pod: PodRow, _job: Job) -> str:
        said = ", ".join(self._cluster.answering(pod)) or "nothing"
        return f"its agent answers on {said}"

    # --- its end --------------------------------------------------------------------

    def _backed_up(self, pod: PodRow, _job: Job) -> str:
        kept = self._cluster.backups(str(pod.node), int(pod.vmid or 0))
        return Path(kept[-1]).stem if kept else "nothing is on the storage"

    def _held(self, pod: PodRow, _job: Job) -> str:
        now = self._rows.pod(pod.id).held_until
        if now is None:
            return ""
        left = (now - datetime.now(now.tzinfo)).total_seconds()
        if left <= 0:
            return "nobody called it off"
        return f"{self._cluster.status(pod)}, can be called off for {left:.0f} s"

    def _nameless(self, pod: PodRow, _job: Job) -> str:
        said = self._names.of(pod.hostname, pod.addresses)
        return f"the name server says {', '.join(dict.fromkeys(said))}"

    def _destroyed(self, pod: PodRow, _job: Job) -> str:
        vmid = int(pod.vmid or 0)
        nodes = ", ".join(self._cluster.without(vmid)) or "no node"
        listed = "" if self._cluster.listed(vmid) else "not "
        return f"no configuration on {nodes}\n{listed}in the cluster's list"

    def _resting(self, pod: PodRow, _job: Job) -> str:
        rests = resting(self._rows, pod)
        return "\n".join(f"{what} rests till {till:%a %H:%M}" for what, till in rests)

    _looks: Mapping[str, Callable[["PodSteps", PodRow, Job], str]] = {
        "place_cloudpod": _place,
        "create_guest": _task,
        "create_pod_names": _lead,
        "configure_guest": _configured,
        "grow_disk": _grown,
        "guard_guest": _guarded,
        "start_guest": _running,
        "call_active": _answering,
        "see_back": _answering,
        "undo:begin_pod_removal": _running,
        "apply_size": _running,
        "back_up_guest": _backed_up,
        "hold_removal": _held,
        "delete_pod_names": _nameless,
        "destroy_guest": _destroyed,
        "end_pod_removal": _resting,
    }


def resting(rows: Rows, pod: PodRow) -> list[tuple[str, datetime]]:
    """What it had and nobody has now, and until when."""
    found = rows.ask(
        "select ip as what, rests_until from addresses"
        " where ip = any(%s) and status = 'resting' and owner_id is null"
        " union all select 'VMID ' || vmid, rests_until from vmids"
        " where vmid = %s and status = 'resting' and owner_id is null",
        pod.addresses,
        pod.vmid,
    )
    return [(str(row["what"]), row["rests_until"]) for row in found]
