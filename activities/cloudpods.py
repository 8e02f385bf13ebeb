"""CloudPods on Proxmox: each step touches the cluster once, and may run twice.

The guest is made with our mark in its description, and its VMID and node are rows
before it exists. So whoever comes second looks at the VMID's configuration, then at the
task it once started, and only then clones.
"""

from typing import Any, Final

from temporalio import activity

from activities.calls import StepCall
from activities.effects import EffectLedger
from activities.errors import (
    NotYet,
    ProviderConflict,
    ProviderDown,
    ProviderRejected,
)
from activities.guests import (
    PROVIDER,
    UNKNOWN,
    Cluster,
    destroy,
    ended,
    left_of,
    mark_of,
    over,
    see_whole,
)
from activities.on_cluster import OnCluster, is_taken_back
from activities.store import Store, finish
from models.base import utc_now
from models.cloudpods import CloudPod, reference
from models.effects import Effect
from models.orders import Order
from models.queries import addresses, cloudpods, jobs, services
from models.queries.outbox import tell_customer
from models.servers import PROXMOX, Server
from models.states import (
    EffectState,
    GuestKind,
    JobKind,
    ServiceStatus,
)
from models.subscriptions import Subscription

_UNBEGUN: Final = (ServiceStatus.PENDING, ServiceStatus.FAILED)


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
            if pod.status in _UNBEGUN:
                # One that failed has left its room to others.
                pod.server_id = None
            node = await session.get(Server, pod.server_id) if pod.server_id else None
            begins = pod.status != ServiceStatus.ACTIVE
            if begins:
                leased = await addresses.lease_each(session, pod.id)
                vmid = await addresses.lease_vmid(session, pod.id)
                subscription = await session.get(Subscription, pod.subscription_id)
                if subscription and subscription.status == ServiceStatus.FAILED:
                    subscription.status = ServiceStatus.PENDING
            # Last, since everybody else's placing waits from here on.
            if node is None:
                node = await cloudpods.roomiest(session, pod)
            if begins:
                pod.begin(
                    server_id=node.id,
                    vmid=vmid,
                    ipv4=leased.get(4),
                    ipv6=leased.get(6),
                )
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
            upid = await self._first(pod, node)
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
        await self._lose_snapshots(call)
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
        """The firewall, with the rules of our group and the guest's own addresses."""
        pod, place = await self._sure(call)
        await self._guard(pod, place)

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
                if built or await is_taken_back(session, other, job):
                    await session.commit()
                    raise NotYet(f"its {other.kind} is still to end", delay=1.0)
            if pod.status != ServiceStatus.TERMINATED:
                if pod.status != ServiceStatus.TERMINATING:
                    job.input = {**job.input, "was": str(pod.status)}
                pod.terminate()
            await session.commit()
        return await self._left(call) is not None

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
            subscription = await session.get(
                Subscription, pod.subscription_id, with_for_update=True
            )
            # It may have another CloudPod by now, if this one had failed.
            if subscription is not None and not await cloudpods.living_of(
                session, subscription.id
            ):
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

    async def _first(self, pod: CloudPod, node: Server) -> str:
        """As `_begin`; where something came before us, the next try sees what it is."""
        try:
            return await self._begin(pod, node)
        except ProviderRejected as refused:
            if refused.code != "exists":
                raise
            raise ProviderDown(PROVIDER, refused.message, code="lag") from None

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
            # Of what is on a node that is away, no name is known.
            away = [one.place for one in guests if one.status == UNKNOWN]
            if away:
                told = ", ".join(f"{at.vmid} on {at.node}" for at in away[:3])
                raise ProviderDown(
                    PROVIDER,
                    f"no template {pod.image} is seen; it may be among those whose"
                    f" node is away, as {told}",
                    code="node_away",
                )
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
        see_whole(config, place)
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
