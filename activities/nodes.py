"""Emptying a node: what runs there is asked to move, by jobs of its own."""

from typing import Final
from uuid import UUID

from sqlalchemy import text
from temporalio import activity

from activities.calls import StepCall
from activities.errors import GiveUp, NotYet
from activities.store import Store, finish
from models.cloudpods import CloudPod
from models.database import Session
from models.errors import Busy
from models.jobs import Job
from models.queries import cloudpods, drift, jobs
from models.servers import Server
from models.states import (
    UNDONE_JOBS,
    JobKind,
    JobStatus,
    Reason,
    ServiceStatus,
)

_LOOK: Final = 5.0
_NAMED: Final = 3
_MOVABLE: Final = (ServiceStatus.ACTIVE, ServiceStatus.SUSPENDED)
_WAKE: Final = text("select pg_notify('mpanel', 'start')")


class NodeActivities:
    """`subject_id` of every call is the node's server."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @activity.defn
    async def begin_drain(self, call: StepCall) -> None:
        """Nothing new is placed there."""
        await self._mark(call, draining=True)

    @activity.defn
    async def call_off_drain(self, call: StepCall) -> None:
        """The undo: it takes CloudPods again. Moves that were asked for go on."""
        await self._mark(call, draining=False)

    @activity.defn
    async def empty_node(self, call: StepCall) -> None:
        """Asks whoever is there to move, and ends when nobody is: by the rows, and
        none of them is known to be wrong about its guest's place.

        Gives up when a move was given up; a retry then asks that CloudPod again.
        """
        async with self._store.step(call, platform=True) as (session, job):
            left = await cloudpods.on_node(session, call.subject_id)
            if not left:
                astray = await drift.astray(session)
                if not astray:
                    finish(job)
                await session.commit()
                if astray:
                    raise NotYet(_perhaps_here(astray), delay=_LOOK)
                return
            for pod in left:
                await self._ask(session, job, pod)
            failed = await self._given_up(session, job, left)
            await (await session.connection()).execute(_WAKE)
            await session.commit()
        if failed:
            raise GiveUp(
                Reason.CONFLICT,
                f"the move of {', '.join(failed)} was given up; a retry asks again",
                code="move_given_up",
            )
        raise NotYet(await self._waits_for(left), delay=_LOOK)

    async def _mark(self, call: StepCall, *, draining: bool) -> None:
        async with self._store.step(call, platform=True) as (session, _):
            node = await session.get_one(Server, call.subject_id)
            node.draining = draining
            await session.commit()

    async def _ask(self, session: Session, drain: Job, pod: CloudPod) -> None:
        """One move of it is open at a time, whoever asked for it."""
        if pod.status not in _MOVABLE:
            return
        asked = dict(drain.input.get("moves", {}))
        known = asked.get(str(pod.id))
        if known and (await jobs.get(session, UUID(known))).status in UNDONE_JOBS:
            return  # told by `_given_up` first
        move = Job(
            tenant_id=pod.tenant_id,
            kind=JobKind.CLOUDPOD_MOVE,
            subject_id=pod.id,
            requested_by=drain.requested_by,
            exclusive=False,
            batch=True,
        )
        try:
            await jobs.add_exclusive(session, move)
        except Busy as busy:
            asked[str(pod.id)] = busy.details["job_id"]
        else:
            asked[str(pod.id)] = str(move.id)
        drain.input = {**drain.input, "moves": asked}

    async def _given_up(
        self, session: Session, drain: Job, left: list[CloudPod]
    ) -> list[str]:
        """Which CloudPods' moves ended badly; each is told once, then asked again.

        One that is being removed has no need to move: it leaves by itself.
        """
        told, kept = [], {}
        here = {str(pod.id): pod for pod in left}
        for pod_id, move_id in drain.input.get("moves", {}).items():
            if (await jobs.get(session, UUID(move_id))).status not in UNDONE_JOBS:
                kept[pod_id] = move_id
            elif pod_id in here and here[pod_id].status in _MOVABLE:
                told.append(here[pod_id].name)
        drain.input = {**drain.input, "moves": kept}
        return told

    async def _waits_for(self, left: list[CloudPod]) -> str:
        async with self._store.platform() as session:
            said = [await _said(session, pod) for pod in left[:_NAMED]]
        told = f"{'; '.join(said)}{_more(left)}"
        return f"{len(left)} CloudPods are still there: {told}"


def _perhaps_here(astray: list[CloudPod]) -> str:
    names = ", ".join(pod.name for pod in astray[:_NAMED])
    return (
        f"the guest of {names}{_more(astray)} is on another node than its row says, so"
        " perhaps on this one: repair it, or move it back"
    )


def _more(pods: list[CloudPod]) -> str:
    return f" and {len(pods) - _NAMED} more" if len(pods) > _NAMED else ""


async def _said(session: Session, pod: CloudPod) -> str:
    """One CloudPod and what keeps it, in a few words."""
    open_ones = await jobs.open_of(session, pod.id)
    waiting = [one for one in open_ones if one.status == JobStatus.NEEDS_ATTENTION]
    if waiting:
        return f"{pod.name} waits for a person ({waiting[0].kind}, {waiting[0].id})"
    kinds = ", ".join(str(one.kind) for one in open_ones) or f"is {pod.status}"
    return f"{pod.name} ({kinds})"
