"""A guest that is not as its CloudPod says is brought back to it.

What is there is never replaced: a stopped guest is started, a running one stopped. Only
one that its node and the cluster's list both do not know is made again, from the newest
backup, or else from its template.
"""

from typing import Any, Final

from temporalio import activity

from activities.calls import StepCall
from activities.cloudpod_placing import RESTORING, Placing
from activities.effects import EffectLedger
from activities.errors import GiveUp, ProviderConflict
from activities.guests import PROVIDER, ended, find_ours
from activities.store import Store, finish
from models.base import utc_now
from models.effects import Effect
from models.queries import cloudpods, servers
from models.servers import Server
from models.states import Reason, ServiceStatus

THERE: Final = "there"
RESTORE: Final = "restore"
REBUILD: Final = "rebuild"


class CloudPodRepairs(Placing):
    """`subject_id` of every call is the CloudPod. `backups`: the storage of backups."""

    def __init__(
        self, store: Store, effects: EffectLedger, cluster: Any, *, backups: str
    ) -> None:
        super().__init__(store, effects, cluster)
        self._backups = backups

    @activity.defn
    async def assess_guest(self, call: StepCall) -> str:
        """`there`, also on another node, which its row is then told; or how it comes
        back: `restore`, `rebuild`. Somebody else's guest on its VMID is a conflict."""
        await self._turn(call)
        pod, node = await self._placed(call)
        effect = await self._taken_up(call)
        place = await find_ours(self._cluster, effect)
        if place is None:
            vmid = self._place(pod, node).vmid
            taken = await self._cluster.find(vmid)
            if taken is not None:
                raise ProviderConflict(
                    PROVIDER,
                    f"VMID {vmid} is taken by {taken.name} on {taken.place.node},"
                    " which is not ours",
                    code="vmid_taken",
                )
            return await self._way_back(call, vmid, node)
        if place.node != node.name:
            await self._follow(call, place.node)
        await self._effects.present(effect, node=place.node)
        return THERE

    async def _taken_up(self, call: StepCall) -> Effect:
        """What its guest is in the ledger; a rebuild that was given up between the old
        one and the new may have left it as removed."""
        left = await self._effect(call)
        async with self._store.step(call, platform=True) as (session, _):
            effect = await self._effects.intend(
                session,
                call,
                owner_id=left.owner_id,
                provider=left.provider,
                kind=left.kind,
                reference=left.reference,
            )
            await session.commit()
        return effect

    @activity.defn
    async def bring_back(self, call: StepCall) -> None:
        """From its newest backup, to its node. Repeated, it is restored once."""
        pod, node = await self._placed(call)
        effect, place = await self._effect(call), self._place(pod, node)
        await self._wait_for(effect, "restoring", place, RESTORING)
        if not await self._is_on(pod, node):
            volid = str(await self._recall(call, "volid"))
            upid = await self._cluster.restore(place, volid, over=False)
            await self._effects.note(effect, restoring=upid)
            await ended(self._cluster, upid, found_again=True)
        await self._promise(pod, place)
        await self._effects.present(effect, node=node.name, restoring=None)

    @activity.defn
    async def settle_guest(self, call: StepCall) -> None:
        """Runs and answers if it is active, stands still if it is suspended: done."""
        pod, place = await self._sure(call)
        if pod.status == ServiceStatus.SUSPENDED:
            await self._stop(place)
        else:
            await self._start(place)
            await self._see_running(pod, place)
        seen = await self._cluster.status(place)
        async with self._store.step(call, platform=True) as (session, job):
            pod = await cloudpods.get(session, call.subject_id, lock=True)
            pod.seen, pod.seen_at, pod.drift = seen, utc_now(), None
            finish(job)
            await session.commit()

    async def _way_back(self, call: StepCall, vmid: int, node: Server) -> str:
        await self._lose_snapshots(call)
        listed = await self._cluster.backups(node.name, self._backups, vmid)
        async with self._store.step(call) as (session, _):
            newest = await cloudpods.newest_backup(
                session, call.subject_id, [one.volid for one in listed]
            )
            await session.commit()
        if newest is None:
            return REBUILD
        await self._remember(call, volid=newest.volid)
        return RESTORE

    async def _follow(self, call: StepCall, name: str) -> None:
        async with self._store.step(call, platform=True) as (session, _):
            node = await servers.node_named(session, name)
            if node is None:
                raise GiveUp(
                    Reason.INVALID, f"its guest is on {name}, which is no node of ours"
                )
            pod = await cloudpods.get(session, call.subject_id, lock=True)
            pod.server_id = node.id
            await session.commit()
