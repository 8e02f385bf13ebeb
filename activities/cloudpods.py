"""CloudPods on Proxmox: each step touches the cluster once, and may run twice.

The guest is made with our mark in its description, and its VMID and node are rows
before it exists. So whoever comes second looks at the VMID's configuration, then at the
task it once started, and only then clones.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from typing import Any, Final, Protocol
from urllib.parse import quote

from temporalio import activity

from activities.calls import StepCall
from activities.effects import EffectLedger
from activities.errors import (
    GiveUp,
    NotYet,
    ProviderConflict,
    ProviderDown,
    ProviderRejected,
)
from activities.store import Store, finish
from models.addresses import Address, AddressPool
from models.base import utc_now
from models.cloudpods import POSSIBLE_IN, CloudPod, reference
from models.database import Session
from models.effects import Effect
from models.jobs import Job
from models.orders import Order
from models.queries import addresses, cloudpods, jobs, services
from models.queries.outbox import tell_customer
from models.servers import PROXMOX, Server
from models.states import (
    CLOUDPOD_ACTS,
    EffectState,
    GuestKind,
    JobKind,
    JobStatus,
    Reason,
    ServiceStatus,
)
from models.subscriptions import Subscription

PROVIDER: Final = "proxmox"
GROUP: Final = "mpanel-pod"
# Whether it starts with its node, and how Proxmox' own pages tell it.
AT_WORK: Final[Mapping[str, str | int]] = {"onboot": 1, "tags": "mpanel"}
AT_REST: Final[Mapping[str, str | int]] = {"onboot": 0, "tags": "mpanel;suspended"}

_DRIVE = re.compile(r"(scsi|virtio|sata|ide|mp)\d+|rootfs|efidisk0|tpmstate0")
_SIZE = re.compile(r"\bsize=(\d+)([KMGT]?)")
_MAC = re.compile(r",hwaddr=[^,]+")
_IN_GIB: Final = {"": 2**-30, "K": 2**-20, "M": 2**-10, "G": 1, "T": 2**10}
_MAKING: Final = ("clone", "create")
_ALWAYS: Final = (JobKind.CLOUDPOD_DELETE, JobKind.CLOUDPOD_MOVE)
_UNBEGUN: Final = (ServiceStatus.PENDING, ServiceStatus.FAILED)
UNMAKING: Final = ("qmdestroy", "vzdestroy")
# A task that failed, or that its node has forgotten.
_NO_OBSTACLE: Final = ("absent", "task_failed")
_POLLS: Final = (0.1, 0.2, 0.5, 1.0, 2.0)


class Cluster(Protocol):
    """See `activities.providers.proxmox`; a changing call gives a task's id."""

    def place(self, node: str, kind: str, vmid: int) -> Any: ...
    async def guests(self) -> list[Any]: ...
    async def find(self, vmid: int) -> Any | None: ...
    async def config(self, place: Any) -> dict[str, Any] | None: ...
    async def status(self, place: Any) -> str: ...
    async def pending(self, place: Any) -> bool: ...
    async def task(self, upid: str) -> Any: ...
    async def clone(
        self, template: Any, vmid: int, *, name: str, description: str, node: str
    ) -> str: ...
    async def create_container(
        self, place: Any, template: str, **options: str | int
    ) -> str: ...
    async def destroy(self, place: Any) -> str: ...
    async def configure(self, place: Any, **options: str | int) -> None: ...
    async def grow(self, place: Any, disk: str, gib: int) -> str | None: ...
    async def start(self, place: Any) -> str: ...
    async def stop(self, place: Any) -> str: ...
    async def shut_down(self, place: Any, *, within: int) -> str: ...
    async def tasks(self, place: Any) -> list[Any]: ...
    async def move(self, place: Any, node: str, *, running: bool) -> str: ...
    async def snapshots(self, place: Any) -> dict[str, str]: ...
    async def snapshot(self, place: Any, name: str, *, description: str) -> str: ...
    async def roll_back(self, place: Any, name: str) -> str: ...
    async def delete_snapshot(self, place: Any, name: str) -> str: ...
    async def back_up(self, place: Any, storage: str, *, notes: str) -> str: ...
    async def room(self, node: str, storage: str) -> int | None: ...
    async def backups(self, node: str, storage: str, vmid: int) -> list[Any]: ...
    async def restore(self, place: Any, volid: str, *, over: bool) -> str: ...
    async def guard(self, place: Any, group: str) -> None: ...
    async def addresses(self, place: Any) -> list[str]: ...
    async def greets(self, address: str) -> bool: ...


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
            raise _absent(place)
        return _marked(config, place, pod.reference)

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
                refusal = await _way_barred(session, job)
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

    async def _see_running(self, pod: CloudPod, place: Any) -> None:
        """Asks the guest itself where it answers."""
        if await self._cluster.status(place) != "running":
            raise ProviderDown(PROVIDER, f"{place.vmid} is not running", code="stopped")
        try:
            answering = await self._cluster.addresses(place)
        except ProviderDown as mute:
            # An image may have no agent; then its SSH server speaks for it.
            if mute.code == "agent" and await self._cluster.greets(str(pod.ipv4)):
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
        keys and rest, and no smaller a disk than is paid for."""
        await self._configure(pod, place)
        await self._grow(pod, place)

    async def _configure(self, pod: CloudPod, place: Any) -> None:
        options = await self._options(pod)
        if "net0" in options:
            standing = (await self._present(place, pod)).get("net0")
            options["net0"] = f"{options['net0']}{_mac(str(standing))}"
        await self._cluster.configure(place, **options)

    async def _grow(self, pod: CloudPod, place: Any) -> None:
        if await self._disk(pod, place) < pod.disk:
            upid = await self._cluster.grow(place, _drive(pod), pod.disk)
            await ended(self._cluster, upid)

    async def _disk(self, pod: CloudPod, place: Any) -> float:
        """How large its disk is, in GiB."""
        config = await self._present(place, pod)
        return _gib(str(config.get(_drive(pod), "")))

    async def _options(self, pod: CloudPod) -> dict[str, str | int]:
        async with self._store.platform() as session:
            held = await addresses.held(session, pod.id)
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
                "net0": f"name=eth0,bridge={bridge},firewall=1,{ip}",
            }
        keys = "\n".join(pod.ssh_keys)
        return options | {
            "ciuser": pod.login,
            "ipconfig0": ip,
            # Proxmox wants the keys encoded before the form encodes them again.
            **({"sshkeys": quote(keys, safe="")} if keys else {}),
        }


class CloudPodActivities(OnCluster):
    """`subject_id` of every call is the CloudPod. `disks`: the storage of containers'
    disks; a virtual machine's are where its template's are."""

    def __init__(
        self,
        store: Store,
        effects: EffectLedger,
        cluster: Cluster,
        *,
        disks: str = "ceph",
    ) -> None:
        super().__init__(store, effects, cluster)
        self._disks = disks

    @activity.defn
    async def place_cloudpod(self, call: StepCall) -> str:
        """Reserves a VMID, addresses and memory on a node, all or nothing.

        Gives the node's name. Repeated, the CloudPod keeps what it has.
        """
        placing = self._store.placing(PROXMOX)
        async with placing, self._store.step(call, platform=True) as (session, _):
            pod = await cloudpods.get(session, call.subject_id, lock=True)
            node = await session.get(Server, pod.server_id) if pod.server_id else None
            begins = pod.status != ServiceStatus.ACTIVE
            if begins:
                v4, _pool = await addresses.lease_address(session, pod.id, family=4)
                v6 = await addresses.lease_if_any(session, pod.id, family=6)
                vmid = await addresses.lease_vmid(session, pod.id)
                subscription = await session.get(Subscription, pod.subscription_id)
                if subscription and subscription.status == ServiceStatus.FAILED:
                    subscription.status = ServiceStatus.PENDING
            # Last, since everybody else's placing waits from here on.
            if node is None or (node.draining and pod.status in _UNBEGUN):
                node = await cloudpods.roomiest(session, pod)
            if begins:
                pod.begin(server_id=node.id, vmid=vmid, ipv4=v4.ip, ipv6=v6)
            await session.commit()
        return node.name

    @activity.defn
    async def release_cloudpod(self, call: StepCall) -> None:
        """The undo of the place: what was reserved rests, the CloudPod has failed."""
        async with self._store.step(call, platform=True) as (session, job):
            await services.fail_subject(session, job)
            await addresses.give_back(session, call.subject_id)
            (await cloudpods.get(session, call.subject_id)).let_go()
            await session.commit()

    @activity.defn
    async def create_guest(self, call: StepCall) -> None:
        """A guest with our mark; one that is there, or on its way, is waited for."""
        pod, node = await self._placed(call)
        async with self._store.step(call, platform=True) as (session, _):
            effect = await self._effects.intend(
                session,
                call,
                owner_id=pod.id,
                provider=PROVIDER,
                kind="guest",
                reference=str(pod.id),
                account=node.name,
                facts={"vmid": pod.vmid, "node": node.name, "guest": pod.kind},
            )
            await session.commit()
        place = self._place(pod, node)
        config = await self._ours(place)
        if config is None:
            await self._await_earlier(effect)
            config = await self._ours(place)
        if config is None:
            upid = await self._begin(pod, node)
            await self._effects.note(effect, upid=upid)
            await ended(self._cluster, upid)
            config = await self._ours(place)
        if config is None:
            raise ProviderDown(PROVIDER, f"{place.vmid} is not there yet", code="lag")
        await self._effects.present(
            effect,
            remote_id=str(pod.vmid),
            upid=None,
            made_by=effect.facts.get("upid") or effect.facts.get("made_by"),
        )

    @activity.defn
    async def destroy_guest(self, call: StepCall) -> None:
        """Takes the guest away; one of somebody else's is not touched."""
        await self._turn(call)
        effect = await self._effects.find(
            call, provider=PROVIDER, kind="guest", reference=str(call.subject_id)
        )
        if effect is None or effect.state == EffectState.REMOVED:
            return
        await self._alone(call)
        if effect.state != EffectState.PRESENT:
            await self._await_earlier(effect)
        place = await left_of(self._cluster, effect)
        if place is not None and place.node != effect.facts["node"]:
            # Where it is asked for once it is gone.
            await self._effects.note(effect, node=place.node)
        await destroy(self._cluster, effect)
        await self._effects.removed(effect, upid=None)

    @activity.defn
    async def configure_guest(self, call: StepCall) -> None:
        """CPU, memory, network and first login; options are set, never added."""
        pod, place = await self._sure(call)
        await self._configure(pod, place)

    @activity.defn
    async def grow_disk(self, call: StepCall) -> None:
        """To the promised size; a disk that has it, or more, is left alone."""
        pod, place = await self._sure(call)
        await self._grow(pod, place)

    @activity.defn
    async def guard_guest(self, call: StepCall) -> None:
        """The firewall, with the rules of our group."""
        _pod, place = await self._sure(call)
        await self._cluster.guard(place, GROUP)

    @activity.defn
    async def start_guest(self, call: StepCall) -> None:
        """Runs; one that runs is left running."""
        _pod, place = await self._sure(call)
        await self._start(place)

    @activity.defn
    async def call_active(self, call: StepCall) -> None:
        """Asks the guest itself where it answers, and only then calls it active."""
        pod, place = await self._sure(call)
        await self._see_running(pod, place)
        async with self._store.step(call) as (session, job):
            pod = await cloudpods.get(session, call.subject_id, lock=True)
            pod.activate(utc_now())
            pod.seen, pod.seen_at = "running", utc_now()
            await services.activate_subscription(session, pod.subscription_id)
            if job.order_id is not None:
                order = await session.get_one(Order, job.order_id)
                await tell_customer(session, order, "cloudpod_live", about=pod.id)
            finish(job)
            await session.commit()

    @activity.defn
    async def begin_pod_removal(self, call: StepCall) -> bool:
        """The CloudPod is on its way out. Whether a guest is there to be held a while.

        Its provisioning, which was told to end, has ended first.
        """
        async with self._store.step(call) as (session, job):
            pod = await cloudpods.get(session, call.subject_id, lock=True)
            for other in await jobs.open_of(session, pod.id):
                built = other.kind == JobKind.CLOUDPOD_PROVISION
                if built or await _is_taken_back(session, other, job):
                    await session.commit()
                    raise NotYet(f"its {other.kind} is still to end", delay=1.0)
            if pod.status != ServiceStatus.TERMINATED:
                if pod.status != ServiceStatus.TERMINATING:
                    job.input = {**job.input, "was": str(pod.status)}
                pod.terminate()
            await session.commit()
        effect = await self._effects.find(
            call, provider=PROVIDER, kind="guest", reference=str(call.subject_id)
        )
        if effect is None or effect.state != EffectState.PRESENT:
            return False
        return await left_of(self._cluster, effect) is not None

    @activity.defn
    async def end_pod_removal(self, call: StepCall) -> None:
        """Nothing of it is left; its addresses and VMID rest before reuse."""
        async with self._store.step(call, platform=True) as (session, job):
            pod = await cloudpods.get(session, call.subject_id, lock=True)
            if pod.status != ServiceStatus.TERMINATED:
                pod.gone()
                pod.seen, pod.seen_at = "absent", utc_now()
            await addresses.give_back(session, pod.id)
            await cloudpods.without_save(session, job.id)
            subscription = await session.get(Subscription, pod.subscription_id)
            if subscription is not None:
                subscription.terminate()
            await jobs.cancel_unbegun(session, pod.id, "the CloudPod was removed")
            finish(job)
            await session.commit()

    async def _alone(self, call: StepCall) -> None:
        """What takes back an order waits for the acts that were begun: a move that is
        amid its way would bring a guest back. A removal waits for us."""
        async with self._store.step(call) as (session, job):
            others = await jobs.open_of(session, call.subject_id)
            await session.commit()
        if job.kind != JobKind.CLOUDPOD_PROVISION:
            return
        for other in others:
            if other.id != job.id and other.kind != JobKind.CLOUDPOD_DELETE:
                raise NotYet(f"its {other.kind} is still to end", delay=1.0)

    # --- the cluster --------------------------------------------------------------

    async def _begin(self, pod: CloudPod, node: Server) -> str:
        place = self._place(pod, node)
        if pod.kind != GuestKind.QEMU:
            return await self._cluster.create_container(
                place,
                pod.image,
                description=pod.reference,
                rootfs=f"{self._disks}:{pod.disk}",
                **await self._options(pod),
                **(
                    {"ssh-public-keys": "\n".join(pod.ssh_keys)} if pod.ssh_keys else {}
                ),
            )
        guests = await self._cluster.guests()
        found = [one for one in guests if one.template and one.name == pod.image]
        if not found:
            raise ProviderRejected(
                PROVIDER, f"there is no template {pod.image}", code="template_missing"
            )
        return await self._cluster.clone(
            found[0].place,
            place.vmid,
            name=pod.hostname.partition(".")[0],
            description=pod.reference,
            node=node.name,
        )

    async def _ours(self, place: Any) -> dict[str, Any] | None:
        """The configuration at the VMID, wherever it is now; None if there is none.

        A clone for another node lies on its template's node until it is whole.
        """
        config = await self._cluster.config(place)
        if config is None:
            found = await self._cluster.find(place.vmid)
            config = await self._cluster.config(found.place) if found else None
        if config is None:
            return None
        _see_whole(config, place)
        mark = mark_of(config)
        if mark is None or not await self._leased_to(mark, place.vmid):
            raise ProviderConflict(
                PROVIDER,
                f"VMID {place.vmid} is taken by a guest that is not ours"
                f" ({config.get('name') or config.get('hostname')})",
                code="vmid_taken",
            )
        return config

    async def _leased_to(self, mark: str, vmid: int) -> bool:
        async with self._store.platform() as session:
            owner = await addresses.owner_of_vmid(session, vmid)
        return owner is not None and mark == reference(owner)

    async def _await_earlier(self, effect: Effect) -> None:
        """The task that an earlier try has begun, if any: however it ends."""
        if upid := effect.facts.get("upid"):
            await over(self._cluster, str(upid))


async def whereabouts(
    cluster: Cluster, place: Any, mark: str
) -> tuple[Any, Mapping[str, Any]]:
    """Where the guest with this mark is, and its configuration: here, or where HA or
    somebody's hand has brought it. Another one with its VMID is a conflict."""
    config, away = None, None
    try:
        config = await cluster.config(place)
    except ProviderDown as down:
        away = down
    if config is None:
        found = await cluster.find(place.vmid)
        if found is None or found.place == place:
            raise away or _absent(place)
        place = found.place
        config = await cluster.config(place)
    if config is None:
        raise ProviderDown(PROVIDER, f"{place.vmid} is on its way", code="lag")
    _see_whole(config, place)
    return place, _marked(config, place, mark)


async def find_ours(cluster: Cluster, effect: Effect) -> Any | None:
    """Where the guest of this effect is now; None if nothing with its mark is there.

    Never read from an error: a refusal is raised. Neither is one that was seen believed
    gone while something stands in its place: that is a conflict.
    """
    vmid = int(effect.facts["vmid"])
    found = await cluster.find(vmid)
    place = (
        found.place
        if found
        else cluster.place(effect.facts["node"], str(effect.facts["guest"]), vmid)
    )
    config = await cluster.config(place)
    if config is None:
        if found is not None:
            raise ProviderDown(PROVIDER, f"{vmid} is still listed", code="lag")
        return None
    _see_whole(config, place)
    if effect.state == EffectState.PRESENT:
        _marked(config, place, reference(effect.owner_id))
    return place if mark_of(config) == reference(effect.owner_id) else None


async def left_of(cluster: Cluster, effect: Effect) -> Any | None:
    """As `find_ours`, once whatever was destroying it has ended."""
    place = await find_ours(cluster, effect)
    if place is not None and await let_end(cluster, place, UNMAKING):
        place = await find_ours(cluster, effect)
    return place


async def destroy(cluster: Cluster, effect: Effect) -> None:
    """Stops the guest of this effect, destroys it, and believes it gone only when its
    configuration and the cluster's list both say so. Absent is success."""
    place = await left_of(cluster, effect)
    if place is None:
        return
    await become(cluster, place, "stopped", cluster.stop)
    await remove(cluster, place)
    if await find_ours(cluster, effect) is not None:
        raise ProviderDown(PROVIDER, f"{place.vmid} is still there", code="lag")


async def become(
    cluster: Cluster, place: Any, state: str, ask: Callable[[Any], Awaitable[str]]
) -> None:
    """`running` or `stopped`; asks only for what is not so."""

    async def so() -> bool:
        return await cluster.status(place) == state

    if not await so():
        await ended_or(cluster, ask(place), so)


async def remove(cluster: Cluster, place: Any) -> None:
    """Destroys what stands still there."""

    async def gone() -> bool:
        return await cluster.config(place) is None

    await ended_or(cluster, cluster.destroy(place), gone)


async def ended_or(
    cluster: Cluster, asked: Awaitable[str], so: Callable[[], Awaitable[bool]]
) -> None:
    """As `ended`; but a refusal is no failure if what was asked for is so: the task of
    an earlier try, whose answer was lost, came before."""
    try:
        await ended(cluster, await asked)
    except ProviderRejected as refused:
        if refused.code not in _NO_OBSTACLE or not await so():
            raise


async def let_end(
    cluster: Cluster, place: Any, kinds: Collection[str], noted: str | None = None
) -> bool:
    """Waits for what an earlier try has begun: the task that was noted, and those of
    these kinds about the guest that are under way, since an answer may be lost. Whether
    there was any; how it ended is no obstacle to another."""
    waited = [
        task.upid
        for task in await cluster.tasks(place)
        if task.kind in kinds and not task.ended
    ]
    if noted:
        waited.append(noted)
    for upid in dict.fromkeys(waited):
        await over(cluster, upid)
    return bool(waited)


async def over(cluster: Cluster, upid: str) -> None:
    """Waits for a task, however it ends; one that its node has forgotten is over."""
    try:
        await _end_of(cluster, upid)
    except ProviderRejected as refused:
        if refused.code != "absent":
            raise


async def ended(cluster: Cluster, upid: str | None) -> None:
    """Waits for a task. A failed one is told by its own words; a lost node is trouble,
    and the task is asked for again by the next try."""
    if upid is None:
        return
    task = await _end_of(cluster, upid)
    if task.well:
        return
    said = task.exit_status or ""
    if "timeout" in said or "is locked" in said or "interrupted" in said:
        raise ProviderDown(PROVIDER, f"{upid}: {said}", code="lock")
    raise ProviderRejected(PROVIDER, f"{upid}: {said}", code="task_failed")


async def _end_of(cluster: Cluster, upid: str) -> Any:
    tries = 0
    while not (task := await cluster.task(upid)).ended:
        await asyncio.sleep(_POLLS[min(tries, len(_POLLS) - 1)])
        tries += 1
    return task


def _is_first(call: StepCall, job: Job) -> bool:
    """Whether nothing was done yet. A removal has a look of its own."""
    if job.kind == JobKind.CLOUDPOD_MOVE:
        return call.step == "reserve_room"
    return job.kind in CLOUDPOD_ACTS and job.kind != JobKind.CLOUDPOD_DELETE


async def _way_barred(session: Session, job: Job) -> str | None:
    """Why the act comes too late. Raises `NotYet` while an earlier one is taken back:
    its run, if it is a new one, goes on beside the life."""
    for other in await jobs.open_of(session, job.subject_id):
        if other.kind == JobKind.CLOUDPOD_PROVISION:
            return "the CloudPod was being taken back with its order"
        if await _is_taken_back(session, other, job):
            raise NotYet(f"its {other.kind} is still to end", delay=1.0)
    return None


async def _is_taken_back(session: Session, other: Job, job: Job) -> bool:
    if other.id == job.id:
        return False
    aborted = other.undoing or other.status == JobStatus.UNDOING
    return aborted or await jobs.open_abort(session, other) is not None


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


def _see_whole(config: Mapping[str, Any], place: Any) -> None:
    """While a guest is made, its configuration is a lock and may bear no mark yet."""
    if config.get("lock") in _MAKING:
        raise ProviderDown(PROVIDER, f"{place.vmid} is being made", code="lock")


def mark_of(config: Mapping[str, Any]) -> str | None:
    """Whose guest it says it is, by the first word of its notes, which people may add
    to; None if it is not one of ours."""
    said = str(config.get("description") or "").split(maxsplit=1)
    return said[0] if said and said[0].startswith("mpanel:") else None


def _marked(config: dict[str, Any], place: Any, mark: str) -> dict[str, Any]:
    if mark_of(config) == mark:
        return config
    raise ProviderConflict(
        PROVIDER,
        f"VMID {place.vmid} is taken by {config.get('name') or config.get('hostname')}"
        f" on {place.node}, which is not ours: its notes do not begin with {mark}",
        code="vmid_taken",
    )


def _absent(place: Any) -> ProviderRejected:
    return ProviderRejected(
        PROVIDER, f"{place.vmid} is not on {place.node}", code="absent"
    )


def _net(address: Address, pool: AddressPool) -> str:
    """As cloud-init and a container's network take it."""
    six = "6" if address.family == 6 else ""
    prefix = pool.network.partition("/")[2]
    return f"ip{six}={address.ip}/{prefix},gw{six}={pool.gateway}"


def _mac(net: str) -> str:
    """As an option. A container whose network is set without its MAC gets another."""
    found = _MAC.search(net)
    return found.group(0) if found else ""


def _drive(pod: CloudPod) -> str:
    return "scsi0" if pod.kind == GuestKind.QEMU else "rootfs"


def disks(config: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """(storage, GiB) of each drive that its configuration names."""
    for key, drive in config.items():
        storage, colon, _ = str(drive).partition(":")
        if colon and _DRIVE.fullmatch(key) and "media=cdrom" not in str(drive):
            yield storage, _gib(str(drive))


def _gib(drive: str) -> float:
    found = _SIZE.search(drive)
    return int(found.group(1)) * _IN_GIB[found.group(2)] if found else 0.0
