"""A CloudPod goes to another node: live if it runs, by a restart if it is a container.

Where Proxmox refuses for good, its backup is restored over there. The new node promises
room before anything is moved, and the row follows only what was read back. So whoever
comes second looks where the guest is, then at the task that is under way, and only
then asks for another.
"""

from typing import Any, Final

from temporalio import activity

from activities.calls import StepCall
from activities.cloudpod_placing import MOVING, RESTORING, Placing
from activities.effects import EffectLedger
from activities.errors import GiveUp, ProviderDown, ProviderRejected
from activities.guests import (
    PROVIDER,
    UNMAKING,
    disks,
    ended,
    find_ours,
    let_end,
    remove,
)
from activities.store import Store, finish
from models.base import utc_now
from models.cloudpods import CloudPod
from models.effects import Effect
from models.queries import cloudpods
from models.servers import PROXMOX, Server
from models.states import Reason

MOVED: Final = "moved"
REFUSED: Final = "refused"
HALFWAY: Final = "halfway"

_TRIES: Final = 3
# In the words of a migration's task, or of its log.
_UNMOVABLE: Final = (
    "not supported",
    "unsupported",
    "local device",
    "local resource",
    "can't migrate local",
    "attached local disks",
    "non-migratable snapshot",
)


class CloudPodMoves(Placing):
    """`subject_id` of every call is the CloudPod."""

    def __init__(
        self, store: Store, effects: EffectLedger, cluster: Any, *, backups: str
    ) -> None:
        super().__init__(store, effects, cluster)
        self._backups = backups

    @activity.defn
    async def reserve_room(self, call: StepCall) -> str:
        """Another node promises it room. Gives the name of the node that it is on.

        Repeated, the promise stands.
        """
        await self._turn(call)
        placing = self._store.placing(PROXMOX)
        async with placing, self._store.step(call, platform=True) as (session, job):
            pod = await cloudpods.get(session, call.subject_id, lock=True)
            if pod.server_id is None:
                raise GiveUp(Reason.INVALID, "the CloudPod has no place on a node")
            begun = job.input.get("from", str(pod.server_id))
            if pod.moving_to is None and begun == str(pod.server_id):
                pod.moving_to = (await cloudpods.roomiest(session, pod)).id
            job.input = {**job.input, "from": begun}
            node = await session.get_one(Server, pod.server_id)
            await session.commit()
            return node.name

    @activity.defn
    async def release_room(self, call: StepCall) -> None:
        """The undo: it is where it is, and its row says so. A guest that is nowhere
        has a backup, which `repair` brings back."""
        pod, here, there = await self._route(call)
        effect = await self._effect(call)
        if there is not None:
            left, taking = self._place(pod, here), self._place(pod, there)
            await self._wait_for(effect, "moving", left, (*MOVING, *UNMAKING))
            await self._wait_for(effect, "carrying", taking, RESTORING)
        place = await self._held(call)
        if place is not None and await self._was_running(call, place):
            await self._start(place)
        if there is not None and place is not None and place.node == there.name:
            await self._arrived(call, effect, there)
            return
        async with self._store.step(call, platform=True) as (session, _):
            pod = await cloudpods.get(session, call.subject_id, lock=True)
            pod.moving_to = None
            await session.commit()

    @activity.defn
    async def move_guest(self, call: StepCall) -> str:
        """Moves it as it is: `moved`. Or `refused`: Proxmox does not for good, so it
        has to be carried; `halfway` if that was begun, and nothing is left here.

        Repeated, a guest that has arrived is left alone, and one on its way is waited
        for.
        """
        pod, here, there = await self._route(call)
        if there is None:
            return MOVED
        effect = await self._effect(call)
        if not await self._is_on(pod, there):
            place = self._place(pod, here)
            if await self._recall(call, "refused"):
                standing = await self._cluster.config(place)
                return REFUSED if standing is not None else HALFWAY
            await self._present(place, pod)
            try:
                await self._migrate(call, effect, place, there)
            except ProviderRejected as refused:
                await self._judge(call, refused, there, place)
                return REFUSED
        await self._arrived(call, effect, there)
        return MOVED

    @activity.defn
    async def still_guest(self, call: StepCall) -> None:
        """Stands still before it is carried: what it writes now would stay behind.
        What an earlier try has kept before it ran again is not carried."""
        pod, here, there = await self._route(call)
        if there is None or await self._is_on(pod, there):
            return
        place = self._place(pod, here)
        await self._present(place, pod)
        await self._was_running(call, place)
        if await self._cluster.status(place) == "running":
            await self._disown_backup(call)
        await self._stop(place)

    @activity.defn
    async def carry_guest(self, call: StepCall) -> None:
        """Removes it here and restores its backup there. Only once the backup is seen
        on its storage is anything removed."""
        pod, here, there = await self._route(call)
        if there is None:
            return
        effect = await self._effect(call)
        target = self._place(pod, there)
        await self._wait_for(effect, "carrying", target, RESTORING)
        if not await self._is_on(pod, there):
            volid = await self._kept(call, target)
            await self._clear(call, pod, here, there)
            await self._lose_snapshots(call)
            upid = await self._cluster.restore(target, volid, over=False)
            await self._effects.note(effect, carrying=upid)
            await ended(self._cluster, upid, found_again=True)
        await self._present(target, pod)
        await self._guard(pod, target)
        if await self._was_running(call, target):
            await self._start(target)
        await self._arrived(call, effect, there)

    @activity.defn
    async def see_moved(self, call: StepCall) -> None:
        """It is there, and answers if it did before: the move is done."""
        pod, place = await self._sure(call)
        if await self._was_running(call, place):
            await self._see_running(pod, place)
        seen = await self._cluster.status(place)
        async with self._store.step(call, platform=True) as (session, job):
            pod = await cloudpods.get(session, call.subject_id, lock=True)
            pod.seen, pod.seen_at = seen, utc_now()
            finish(job)
            await session.commit()

    # --- together -----------------------------------------------------------------

    async def _route(self, call: StepCall) -> tuple[CloudPod, Server, Server | None]:
        """Where it is, and where it goes; None if it has arrived."""
        async with self._store.step(call, platform=True) as (session, _):
            pod = await cloudpods.get(session, call.subject_id)
            here = await session.get_one(Server, pod.server_id)
            there = (
                await session.get_one(Server, pod.moving_to) if pod.moving_to else None
            )
            await session.commit()
        return pod, here, there

    async def _migrate(
        self, call: StepCall, effect: Effect, place: Any, there: Server
    ) -> None:
        """Unless an earlier try has it on its way."""
        if await self._wait_for(effect, "moving", place, MOVING):
            found = await find_ours(self._cluster, effect)
            if found is not None and found.node == there.name:
                return
        running = await self._was_running(call, place)
        upid = await self._cluster.move(place, there.name, running=running)
        await self._effects.note(effect, moving=upid)
        await ended(self._cluster, upid, found_again=True)

    async def _judge(
        self, call: StepCall, refused: ProviderRejected, there: Server, place: Any
    ) -> None:
        """Whether it can only be carried, since Proxmox moves no guest like it. Raises
        if not: a migration that broke off is tried again, a few times."""
        if not _is_unmovable(refused):
            if refused.code == "task_failed":
                tries = int(await self._recall(call, "tries") or 0) + 1
                await self._remember(call, tries=tries)
                if tries < _TRIES:
                    raise ProviderDown(PROVIDER, refused.message, code="migration")
            raise refused
        await self._cluster.backups(there.name, self._backups, place.vmid)
        await self._remember(call, refused=refused.message)

    async def _clear(
        self, call: StepCall, pod: CloudPod, here: Server, there: Server
    ) -> None:
        """Its VMID is one in the whole cluster: here it goes before it comes there.
        Never one that runs, as its backup is older than what it has written since."""
        place = self._place(pod, here)
        await let_end(self._cluster, place, UNMAKING)
        if not await self._is_on(pod, here):
            return
        if await self._cluster.status(place) == "running":
            await self._disown_backup(call)
            raise GiveUp(
                Reason.CONFLICT,
                "it was started after its backup was made, which is too old to be"
                " carried now; abort this move, and ask for another",
                code="backup_stale",
            )
        await self._see_room(place, there)
        await remove(self._cluster, place)
        if await self._cluster.config(place) is not None:
            raise ProviderDown(PROVIDER, f"{place.vmid} is still there", code="lag")

    async def _see_room(self, place: Any, there: Server) -> None:
        """For its disks, over there. A shared storage gets back what is freed here."""
        wanted: dict[str, float] = {}
        for storage, gib in disks(await self._cluster.config(place) or {}):
            wanted[storage] = wanted.get(storage, 0) + gib
        for storage, gib in wanted.items():
            free = await self._cluster.room(there.name, storage)
            if free is not None and free < gib * 2**30:
                raise GiveUp(
                    Reason.NO_CAPACITY,
                    f"{storage} on {there.name} has {free / 2**30:.0f} GiB left, and"
                    f" its disks want {gib:.0f}; make room, then retry",
                )

    async def _disown_backup(self, call: StepCall) -> None:
        """It stays a backup of its time, but is no longer the one of this job."""
        async with self._store.step(call, platform=True) as (session, job):
            await cloudpods.disown_save(session, job.id)
            await session.commit()

    async def _kept(self, call: StepCall, place: Any) -> str:
        """The backup that this job made, as its storage lists it."""
        async with self._store.step(call) as (session, job):
            save = await cloudpods.save_of(session, job.id)
            await session.commit()
        listed = await self._cluster.backups(place.node, self._backups, place.vmid)
        found = [one.volid for one in listed if save and one.volid == save.volid]
        if not found:
            raise ProviderRejected(
                PROVIDER, "its backup is not on the storage", code="backup_missing"
            )
        return str(found[0])

    async def _was_running(self, call: StepCall, place: Any) -> bool:
        """As it was before this job touched it."""
        known = await self._recall(call, "running")
        if known is not None:
            return bool(known)
        running = await self._cluster.status(place) == "running"
        await self._remember(call, running=running)
        return running

    async def _arrived(self, call: StepCall, effect: Effect, there: Server) -> None:
        await self._effects.present(effect, node=there.name, moving=None, carrying=None)
        async with self._store.step(call, platform=True) as (session, _):
            pod = await cloudpods.get(session, call.subject_id, lock=True)
            pod.server_id, pod.moving_to = there.id, None
            await session.commit()


def _is_unmovable(refused: ProviderRejected) -> bool:
    if refused.code == "task_failed":
        return any(word in refused.message.lower() for word in _UNMOVABLE)
    return refused.code == "unsupported"
