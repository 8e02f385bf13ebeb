"""What every step about a guest begins with: its place, its turn, and its promise."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

from activities.calls import StepCall
from activities.effects import EffectLedger
from activities.errors import (
    GiveUp,
    NotYet,
    ProviderConflict,
    ProviderDown,
)
from activities.guests import (
    PROVIDER,
    Cluster,
    absent,
    become,
    ended_or,
    gib,
    left_of,
    marked,
    whereabouts,
)
from activities.store import Store
from models.addresses import Address, AddressPool
from models.base import utc_now
from models.cloudpods import POSSIBLE_IN, CloudPod, CloudPodSave
from models.database import Session
from models.jobs import Job
from models.queries import addresses, cloudpods, jobs
from models.servers import Server
from models.states import (
    CLOUDPOD_ACTS,
    BackupStatus,
    EffectState,
    GuestKind,
    JobKind,
    JobStatus,
    Reason,
    ServiceStatus,
)

# Whether it starts with its node, and how Proxmox' own pages tell it.
AT_WORK: Final[Mapping[str, str | int]] = {"onboot": 1, "tags": "mpanel"}
AT_REST: Final[Mapping[str, str | int]] = {"onboot": 0, "tags": "mpanel;suspended"}
# What every guest lets in.
GROUP: Final = "mpanel-pod"
_MAC = re.compile(r",hwaddr=[^,]+")
_ALWAYS: Final = (JobKind.CLOUDPOD_DELETE, JobKind.CLOUDPOD_MOVE)


class OnCluster:
    """What every step about a guest begins with."""

    def __init__(self, store: Store, effects: EffectLedger, cluster: Cluster) -> None:
        self._store, self._effects, self._cluster = store, effects, cluster

    def _place(self, pod: CloudPod, node: Server) -> Any:
        if pod.vmid is None:
            raise GiveUp(Reason.INVALID, "the CloudPod has no VMID")
        return self._cluster.place(node.name, pod.kind, pod.vmid)

    async def _placed(self, call: StepCall) -> tuple[CloudPod, Server]:
        async with self._store.step(call, platform=True) as (session, _):
            pod = await cloudpods.get(session, call.subject_id)
            if pod.server_id is None:
                raise GiveUp(Reason.INVALID, "the CloudPod has no place on a node")
            node = await session.get_one(Server, pod.server_id)
            await session.commit()
            return pod, node

    async def _present(self, place: Any, pod: CloudPod) -> dict[str, Any]:
        """Its configuration at this very place, with our mark in it."""
        config = await self._cluster.config(place)
        if config is None:
            raise absent(place)
        return marked(config, place, pod.reference)

    async def _sure(self, call: StepCall) -> tuple[CloudPod, Any]:
        """The CloudPod and where its guest really is. Raises if it is nowhere."""
        pod, node = await self._placed(call)
        place, _ = await whereabouts(
            self._cluster, self._place(pod, node), pod.reference
        )
        return pod, place

    async def _turn(self, call: StepCall) -> None:
        """What stood before this act may have left the CloudPod as it must not find it:
        then the job ends here, and nothing is done. A repeated step goes on."""
        async with self._store.step(call) as (session, job):
            pod = await cloudpods.get(session, call.subject_id, lock=True)
            begun = job.undoing or job.status == JobStatus.SUCCEEDED
            refusal = None if begun else _refusal(pod, job)
            if not begun and refusal is None and _is_first(call, job):
                refusal = await _way_barred(session, job) or await _lost(session, job)
            if refusal is not None:
                job.status = JobStatus.CANCELLED
                job.message = f"{refusal} when its turn came; nothing was done"
                job.ended_at = job.updated_at = utc_now()
            await session.commit()
        if refusal is not None:
            raise GiveUp(Reason.ENDED, refusal)

    async def _held(self, call: StepCall) -> Any | None:
        """For what is taken back: where its guest is; None if nothing of ours stands
        there, so that there is nothing to take back."""
        try:
            return await self._left(call)
        except ProviderConflict:
            return None

    async def _left(self, call: StepCall) -> Any | None:
        """Where its guest is; None if there is none, or none any more."""
        effect = await self._effects.find(
            call, provider=PROVIDER, kind="guest", reference=str(call.subject_id)
        )
        if effect is None or effect.state == EffectState.REMOVED:
            return None
        return await left_of(self._cluster, effect)

    async def _lose_snapshots(self, call: StepCall) -> None:
        """Its guest is gone, and they with it; the next one has none."""
        async with self._store.step(call) as (session, _):
            await cloudpods.lose_snapshots(session, call.subject_id)
            await session.commit()

    async def _see_running(self, pod: CloudPod, place: Any) -> None:
        """Asks the guest itself where it answers."""
        if await self._cluster.status(place) != "running":
            raise ProviderDown(PROVIDER, f"{place.vmid} is not running", code="stopped")
        try:
            answering = await self._cluster.addresses(place)
        except ProviderDown as mute:
            # An image may have no agent; then its SSH server speaks for it.
            if mute.code == "agent" and await self._cluster.greets(pod.address):
                return
            raise
        if silent := {pod.ipv4, pod.ipv6} - {None, *answering}:
            raise ProviderDown(
                PROVIDER,
                f"{place.vmid} answers on {', '.join(answering) or 'nothing'}, not on"
                f" {' and '.join(sorted(map(str, silent)))}",
                code="address",
            )

    async def _stop(self, place: Any) -> None:
        await become(self._cluster, place, "stopped", self._cluster.stop)

    async def _start(self, place: Any) -> None:
        await become(self._cluster, place, "running", self._cluster.start)

    async def _promise(self, pod: CloudPod, place: Any) -> None:
        """Before what came from an earlier state is started: today's sizes, network,
        keys and rest, no smaller a disk than is paid for, and the firewall, which an
        old backup may lack."""
        await self._configure(pod, place)
        await self._grow(pod, place)
        await self._guard(pod, place)

    async def _configure(self, pod: CloudPod, place: Any) -> None:
        card = str((await self._present(place, pod)).get("net0", ""))
        await self._cluster.configure(place, **await self._options(pod, card))

    async def _guard(self, pod: CloudPod, place: Any) -> None:
        own = [str(address.ip) for address, _ in await self._leased(pod)]
        await self._cluster.guard(place, GROUP, own)

    async def _grow(self, pod: CloudPod, place: Any) -> None:
        async def so() -> bool:
            return await self._disk(pod, place) >= pod.disk

        if not await so():
            grow = self._cluster.grow(place, _drive(pod), pod.disk)
            await ended_or(self._cluster, grow, so)

    async def _disk(self, pod: CloudPod, place: Any) -> float:
        """How large its disk is, in GiB."""
        config = await self._present(place, pod)
        return gib(str(config.get(_drive(pod), "")))

    async def _leased(self, pod: CloudPod) -> Sequence[tuple[Address, AddressPool]]:
        async with self._store.platform() as session:
            return await addresses.held(session, pod.id)

    async def _options(self, pod: CloudPod, card: str = "") -> dict[str, str | int]:
        """`card`: how its network card stands, if it has one."""
        held = await self._leased(pod)
        ip = ",".join(_net(address, pool) for address, pool in held)
        bridge = held[0][1].bridge
        options: dict[str, str | int] = {
            "cores": pod.cores,
            "memory": pod.memory,
            **(AT_REST if pod.status == ServiceStatus.SUSPENDED else AT_WORK),
        }
        if pod.kind != GuestKind.QEMU:
            return options | {
                "hostname": pod.hostname,
                "net0": f"name=eth0,bridge={bridge},firewall=1,{ip}{_mac(card)}",
            }
        keys = "\n".join(pod.ssh_keys)
        return options | {
            "ciuser": pod.login,
            "ipconfig0": ip,
            "net0": _plugged(card, bridge),
            # Proxmox wants the keys encoded before the form encodes them again.
            **({"sshkeys": quote(keys, safe="")} if keys else {}),
        }


def _is_first(call: StepCall, job: Job) -> bool:
    """Whether nothing was done yet. A removal has a look of its own."""
    if job.kind == JobKind.CLOUDPOD_MOVE:
        return call.step == "reserve_room"
    return job.kind in CLOUDPOD_ACTS and job.kind != JobKind.CLOUDPOD_DELETE


async def _way_barred(session: Session, job: Job) -> str | None:
    """Why the act comes too late. Raises `NotYet` while an earlier one is taken back,
    or was begun by a life that somebody ended: its run goes on beside the life."""
    for other in await jobs.open_of(session, job.subject_id):
        if other.kind == JobKind.CLOUDPOD_PROVISION:
            return "the CloudPod was being taken back with its order"
        if await is_taken_back(session, other, job) or _is_under_way(other, job):
            raise NotYet(f"its {other.kind} is still to end", delay=1.0)
    return None


async def _lost(session: Session, job: Job) -> str | None:
    """That a rollback's snapshot went with its guest, by what stood before it."""
    if job.kind != JobKind.CLOUDPOD_ROLLBACK:
        return None
    save = await session.get_one(CloudPodSave, UUID(job.input["save_id"]))
    if save.status == BackupStatus.STORED:
        return None
    return f"the snapshot {save.name} was kept no more"


async def is_taken_back(session: Session, other: Job, job: Job) -> bool:
    """Whether this other job is undone just now, or is about to be."""
    if other.id == job.id:
        return False
    aborted = other.undoing or other.status == JobStatus.UNDOING
    return aborted or await jobs.open_abort(session, other) is not None


def _is_under_way(other: Job, job: Job) -> bool:
    """Whether this other job was asked for earlier, and has a run."""
    begun = other.status in (JobStatus.RUNNING, JobStatus.NEEDS_ATTENTION)
    has_run = begun and other.reason not in jobs.RUN_GONE
    return has_run and jobs.is_before(other, job)


def _refusal(pod: CloudPod, job: Job) -> str | None:
    """Why the act that the job is may not be done now."""
    kind, why = JobKind(job.kind), pod.suspended_for
    if kind in _ALWAYS or kind not in POSSIBLE_IN:
        return None
    if pod.status not in POSSIBLE_IN[kind]:
        return f"the CloudPod was {pod.status}" + (f" for {why}" if why else "")
    if why is not None and why not in job.input.get("lifts", (why,)):
        return f"the CloudPod was suspended for {why}, which others have to lift"
    return None


def _net(address: Address, pool: AddressPool) -> str:
    """As cloud-init and a container's network take it."""
    six = "6" if address.family == 6 else ""
    prefix = pool.network.partition("/")[2]
    return f"ip{six}={address.ip}/{prefix},gw{six}={pool.gateway}"


def _mac(net: str) -> str:
    """As an option. A container whose network is set without its MAC gets another."""
    found = _MAC.search(net)
    return found.group(0) if found else ""


def _plugged(card: str, bridge: str) -> str:
    """The card of a virtual machine, its MAC and VLAN and all, on this bridge and
    behind the firewall. As it stands, if that is so already."""
    parts = card.split(",") if card else ["virtio"]
    ours = {"bridge": bridge, "firewall": "1"}
    kept = [one for one in parts if one.partition("=")[0] not in ours]
    put = [f"{name}={value}" for name, value in ours.items()]
    return card if set(put) <= set(parts) else ",".join(kept + put)


def _drive(pod: CloudPod) -> str:
    return "scsi0" if pod.kind == GuestKind.QEMU else "rootfs"
