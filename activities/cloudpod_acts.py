"""What a CloudPod is asked for during its life; its job's input says with what."""

from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID, uuid4

from temporalio import activity

from activities.calls import StepCall
from activities.effects import EffectLedger
from activities.errors import (
    GiveUp,
    NotYet,
    ProviderConflict,
    ProviderRejected,
)
from activities.guests import (
    PROVIDER,
    Cluster,
    become,
    ended,
    ended_or,
    left_of,
    let_end,
)
from activities.on_cluster import AT_REST, AT_WORK, OnCluster
from activities.store import Store, finish
from models.base import utc_now
from models.cloudpods import CloudPod, CloudPodSave
from models.database import Session
from models.errors import NoCapacity
from models.jobs import Job
from models.queries import cloudpods
from models.servers import PROXMOX
from models.states import (
    BackupStatus,
    EffectState,
    GuestKind,
    JobKind,
    Reason,
    SaveKind,
    ServiceStatus,
    SuspensionReason,
)

# Seconds that a guest has to end by itself before its power is cut.
GRACE: Final = 60
_LOOK: Final = 60.0
_SNAPSHOT: Final = ("qmsnapshot", "vzsnapshot")
_BACKUP: Final = ("vzdump",)


class CloudPodActs(OnCluster):
    """`subject_id` of every call is the CloudPod.

    `backups`: the storage that keeps them; `hold`: how long a removal can be called
    off, in seconds.
    """

    def __init__(
        self,
        store: Store,
        effects: EffectLedger,
        cluster: Cluster,
        *,
        backups: str,
        hold: float,
    ) -> None:
        super().__init__(store, effects, cluster)
        self._backups, self._hold = backups, hold

    # --- rest and go on -----------------------------------------------------------

    @activity.defn
    async def suspend_guest(self, call: StepCall) -> None:
        """Stops it, and keeps it from starting with its node; nothing is deleted."""
        await self._turn(call)
        pod, place = await self._sure(call)
        await self._cluster.configure(place, **AT_REST)
        await self._stop(place)
        async with self._store.step(call) as (session, job):
            pod = await cloudpods.get(session, call.subject_id, lock=True)
            pod.suspend(SuspensionReason(job.input["reason"]))
            self._seen(pod, "stopped")
            finish(job)
            await session.commit()

    @activity.defn
    async def resume_guest(self, call: StepCall) -> None:
        """Starts it, sees it answer, and only then calls it active."""
        await self._turn(call)
        pod, place = await self._sure(call)
        await self._cluster.configure(place, **AT_WORK)
        await self._start(place)
        await self._see_running(pod, place)
        async with self._store.step(call) as (session, job):
            pod = await cloudpods.get(session, call.subject_id, lock=True)
            pod.resume()
            self._seen(pod, "running")
            finish(job)
            await session.commit()

    @activity.defn
    async def restart_guest(self, call: StepCall) -> None:
        """Lets its system end, and starts it. Repeated, it may restart once more."""
        await self._turn(call)
        _pod, place = await self._sure(call)
        await self._restart(place)

    @activity.defn
    async def see_back(self, call: StepCall) -> None:
        """It runs and answers: the act is done."""
        pod, place = await self._sure(call)
        await self._see_running(pod, place)
        async with self._store.step(call) as (session, job):
            pod = await cloudpods.get(session, call.subject_id, lock=True)
            self._seen(pod, "running")
            finish(job)
            await session.commit()

    # --- another size, another name -----------------------------------------------

    @activity.defn
    async def reserve_size(self, call: StepCall) -> None:
        """Promises the new size, if its node has room for it. Safe to repeat: what it
        was before is kept in the job."""
        await self._turn(call)
        placing = self._store.placing(PROXMOX)
        async with placing, self._store.step(call, platform=True) as (session, job):
            pod = await cloudpods.get(session, call.subject_id, lock=True)
            wanted = job.input["to"]
            if pod.disk > wanted["disk"]:
                raise GiveUp(Reason.INVALID, "a disk cannot shrink")
            if wanted["memory"] > pod.memory:
                pod.memory = wanted["memory"]
                node = await cloudpods.with_room(session, pod)
                if node is None:
                    raise NoCapacity(
                        f"its node has no {wanted['memory']} MiB of memory left; move"
                        " the CloudPod or another one, then retry",
                        of="memory",
                    )
            pod.cores, pod.memory, pod.disk = (
                wanted["cores"],
                wanted["memory"],
                wanted["disk"],
            )
            await session.commit()

    @activity.defn
    async def release_size(self, call: StepCall) -> None:
        """The undo: CPU and memory as before, and it runs again if it was ended for
        the new ones. A disk that has grown stays grown, and only that one."""
        pod, _node = await self._placed(call)
        place = await self._held(call)
        async with self._store.step(call) as (session, job):
            before, wanted = job.input["from"], job.input["to"]
            stands_by_us = "ended" in job.input
            await session.commit()
        grown = False
        if place is not None:
            await self._cluster.configure(
                place, cores=before["cores"], memory=before["memory"]
            )
            if stands_by_us:
                await self._start(place)
            grown = await self._disk(pod, place) >= wanted["disk"]
        async with self._store.step(call) as (session, _):
            pod = await cloudpods.get(session, call.subject_id, lock=True)
            pod.cores, pod.memory = before["cores"], before["memory"]
            pod.disk = wanted["disk"] if grown else before["disk"]
            await session.commit()

    @activity.defn
    async def apply_size(self, call: StepCall) -> None:
        """A VM takes new CPU and memory with a restart; a container at once. Repeated,
        one that has taken them is not restarted again, and one that was left standing
        is started."""
        pod, place = await self._sure(call)
        if pod.kind != GuestKind.QEMU:
            return
        if await self._cluster.pending(place):
            async with self._store.step(call) as (session, job):
                job.input = {**job.input, "ended": True}
                await session.commit()
            await self._end(place)
        await self._start(place)

    @activity.defn
    async def rename_guest(self, call: StepCall) -> None:
        """Its name here. At Proxmox it keeps the one of which cloud-init makes its host
        name at each start: others use that."""
        await self._turn(call)
        await self._sure(call)
        async with self._store.step(call) as (session, job):
            pod = await cloudpods.get(session, call.subject_id, lock=True)
            pod.name = str(job.input["name"])
            finish(job)
            await session.commit()

    # --- states to go back to -----------------------------------------------------

    @activity.defn
    async def take_snapshot(self, call: StepCall) -> None:
        """Beside its disks; one of this name that we made is the one."""
        await self._turn(call)
        _pod, place = await self._sure(call)
        save = await self._save(call)
        await let_end(self._cluster, place, _SNAPSHOT)

        async def kept() -> bool:
            return await self._is_kept(place, save)

        if not await kept():
            words = _words(save)
            await ended_or(
                self._cluster,
                self._cluster.snapshot(place, save.name, description=words),
                kept,
            )
        await self._store_save(call, save.id)

    @activity.defn
    async def drop_snapshot(self, call: StepCall) -> None:
        """The undo; absent is success."""
        place = await self._held(call)
        save = await self._save(call)
        if place is not None:
            await self._drop(place, save)
        async with self._store.step(call) as (session, _):
            row = await session.get_one(CloudPodSave, save.id)
            row.status = BackupStatus.FAILED
            await session.commit()

    @activity.defn
    async def roll_back(self, call: StepCall) -> None:
        """To a snapshot; everything since then is gone, but not its size."""
        await self._turn(call)
        pod, place = await self._sure(call)
        save = await self._chosen(call)
        if not await self._is_kept(place, save):
            raise ProviderRejected(
                PROVIDER, f"there is no snapshot {save.name}", code="absent"
            )
        await self._stop(place)
        await ended(self._cluster, await self._cluster.roll_back(place, save.name))
        await self._promise(pod, place)
        await self._start(place)

    @activity.defn
    async def back_up_guest(self, call: StepCall) -> None:
        """To the backups' storage; one that carries this job's mark is the one. Before
        a removal, what is gone is not missed."""
        await self._turn(call)
        if await self._removes(call) and await self._left(call) is None:
            return
        _pod, place = await self._sure(call)
        save = await self._save(call)
        await let_end(self._cluster, place, _BACKUP)
        found = await self._volume(place, save.id)
        if found is None:
            await ended(
                self._cluster,
                await self._cluster.back_up(
                    place, self._backups, notes=f"mpanel:{save.id}"
                ),
                found_again=True,
            )
            found = await self._volume(place, save.id)
        if found is None:
            raise ProviderRejected(
                PROVIDER, "the backup is not on its storage", code="absent"
            )
        await self._store_save(call, save.id, volid=found.volid, size=found.size)

    @activity.defn
    async def restore_guest(self, call: StepCall) -> None:
        """From a backup, in today's size; repeated, it is restored again from the same
        one."""
        await self._turn(call)
        pod, place = await self._sure(call)
        save = await self._chosen(call)
        await self._stop(place)
        await ended(
            self._cluster,
            await self._cluster.restore(place, str(save.volid), over=True),
        )
        await self._lose_snapshots(call)
        await self._promise(pod, place)
        await self._start(place)

    # --- the end ------------------------------------------------------------------

    @activity.defn
    async def hold_removal(self, call: StepCall) -> None:
        """Stopped, but still there: until the hold is over, an abort brings it back.
        What is gone is not held."""
        place = await self._left(call)
        if place is None:
            return
        config = await self._cluster.config(place) or {}
        if int(config.get("onboot", 0)):  # a reboot of its node would start it
            await self._cluster.configure(place, onboot=0)
        await self._stop(place)
        async with self._store.step(call) as (session, job):
            await cloudpods.without_save(session, job.id)
            pod = await cloudpods.get(session, call.subject_id, lock=True)
            if pod.held_until is None:
                pod.held_until = utc_now() + timedelta(seconds=self._hold)
            left = (pod.held_until - utc_now()).total_seconds()
            await session.commit()
        if left > 0:
            raise NotYet("its removal can still be called off", delay=min(left, _LOOK))

    @activity.defn
    async def call_off_removal(self, call: StepCall) -> None:
        """The undo: it is again what it was, running or suspended. Once its guest is
        destroyed there is no way back but its backup."""
        async with self._store.step(call) as (session, job):
            pod = await cloudpods.get(session, call.subject_id)
            resting = (
                ServiceStatus.SUSPENDED if pod.suspended_for else ServiceStatus.ACTIVE
            )
            was = ServiceStatus(job.input.get("was", resting))
            await session.commit()
        if pod.status != ServiceStatus.TERMINATING:
            return
        effect = await self._effects.find(
            call, provider=PROVIDER, kind="guest", reference=str(call.subject_id)
        )
        gone = effect is None or effect.state == EffectState.REMOVED
        if effect is not None and not gone:
            # Another's guest on its VMID is left alone, and told as drift.
            with suppress(ProviderConflict):
                place = await left_of(self._cluster, effect)
                gone = place is None
                if place is not None and was == ServiceStatus.ACTIVE:
                    await self._cluster.configure(place, **AT_WORK)
                    await self._start(place)
            if gone:
                await self._effects.removed(effect, upid=None)
        if gone or was not in (ServiceStatus.ACTIVE, ServiceStatus.SUSPENDED):
            was = ServiceStatus.FAILED
        async with self._store.step(call) as (session, _):
            pod = await cloudpods.get(session, call.subject_id, lock=True)
            pod.come_back(was)
            await session.commit()

    # --- together -----------------------------------------------------------------

    async def _is_kept(self, place: Any, save: CloudPodSave) -> bool:
        """Raises `ProviderConflict` if a snapshot of this name is not ours."""
        said = (await self._cluster.snapshots(place)).get(save.name)
        if said not in (None, _words(save)):
            raise ProviderConflict(
                PROVIDER,
                f"{place.vmid} has a snapshot {save.name} that is not ours",
                code="snapshot_taken",
            )
        return said is not None

    async def _drop(self, place: Any, save: CloudPodSave) -> None:
        await let_end(self._cluster, place, _SNAPSHOT)
        if (await self._cluster.snapshots(place)).get(save.name) == _words(save):
            await ended(
                self._cluster, await self._cluster.delete_snapshot(place, save.name)
            )

    async def _restart(self, place: Any) -> None:
        await self._end(place)
        await self._start(place)

    async def _end(self, place: Any) -> None:
        """In good order, if it can."""
        shut_down = partial(self._cluster.shut_down, within=GRACE)
        await become(self._cluster, place, "stopped", shut_down)

    async def _volume(self, place: Any, save_id: UUID) -> Any | None:
        kept = await self._cluster.backups(place.node, self._backups, place.vmid)
        return next((one for one in kept if one.notes == f"mpanel:{save_id}"), None)

    async def _removes(self, call: StepCall) -> bool:
        async with self._store.step(call) as (session, job):
            await session.commit()
        return job.kind == JobKind.CLOUDPOD_DELETE

    async def _save(self, call: StepCall) -> CloudPodSave:
        """The row that this job fills; it was written with the job."""
        async with self._store.step(call) as (session, job):
            save = await _row(session, job)
            await session.commit()
        return save

    async def _chosen(self, call: StepCall) -> CloudPodSave:
        """The state that this job goes back to."""
        async with self._store.step(call) as (session, job):
            save = await session.get_one(CloudPodSave, UUID(job.input["save_id"]))
            await session.commit()
        return save

    async def _store_save(
        self, call: StepCall, save_id: UUID, *, volid: str | None = None, size: int = 0
    ) -> None:
        async with self._store.step(call) as (session, job):
            row = await session.get_one(CloudPodSave, save_id)
            row.status, row.stored_at = BackupStatus.STORED, utc_now()
            row.volid, row.size = volid, size
            if "unasked" not in job.input:
                finish(job)
            await session.commit()

    @staticmethod
    def _seen(pod: CloudPod, state: str) -> None:
        pod.seen, pod.seen_at = state, utc_now()


def _words(save: CloudPodSave) -> str:
    """What tells that a snapshot is ours."""
    return f"mpanel {save.id}"


async def _row(session: Session, job: Job) -> CloudPodSave:
    save = await cloudpods.save_of(session, job.id)
    if save is None:
        # A removal or a move makes its backup without anybody asking for it.
        word = "last" if job.kind == JobKind.CLOUDPOD_DELETE else "moved"
        save = CloudPodSave(
            tenant_id=job.tenant_id,
            cloudpod_id=job.subject_id,
            job_id=job.id,
            kind=SaveKind.BACKUP,
            name=f"{word}-{uuid4().hex[:8]}",
        )
        session.add(save)
        job.input = {**job.input, "unasked": True}
        await session.flush()
    return save
