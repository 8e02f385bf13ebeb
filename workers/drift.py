"""Our CloudPods against the cluster's guests, and what differs is told.

Nothing is repaired here: what stopped may be a customer's doing, and what is gone may
be somewhere. `POST /api/cloudpods/{id}/repair` is a job.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import structlog

from activities.errors import ProviderError
from activities.guests import UNKNOWN, mark_of
from activities.providers.proxmox import Guest
from models.base import utc_now
from models.cloudpods import reference
from models.database import Database, Session
from models.queries import alerts, drift, servers
from models.queries.alerts import Finding
from models.servers import PROXMOX
from models.states import Drift, ServiceStatus
from workers.orphans import Listed

CAUSE: Final = "cloudpod_drift"
TAG: Final = "mpanel"
_AT_ONCE: Final = 8
_log = structlog.get_logger(__name__)

_WORDS: Final[Mapping[Drift, str]] = {
    Drift.GONE: "its guest is gone",
    Drift.STOPPED: "it is active, and its guest stands still",
    Drift.RUNNING: "it is suspended, and its guest runs",
    Drift.FOREIGN: "another guest has its VMID",
    Drift.ELSEWHERE: "its guest is on another node",
}


class Listing(Protocol):
    """See `activities.providers.proxmox`."""

    async def guests(self) -> list[Guest]: ...
    async def config(self, place: Any) -> dict[str, Any] | None: ...
    async def status(self, place: Any) -> str: ...


@dataclass(frozen=True)
class _Look:
    """A guest as it is now, and whose mark it bears, if that could be `read`."""

    guest: Guest
    read: bool = False
    mark: str | None = None


class DriftWatch:
    """One listing of the cluster, and the notes of each guest on one of our VMIDs."""

    def __init__(self, db: Database, cluster: Listing) -> None:
        self._db, self._cluster = db, cluster

    async def round(self) -> None:
        """Writes what was seen of each CloudPod. One open alert for each that is not
        as wanted; it ends by itself. Of whose notes cannot be read nothing is known,
        and what was told last stands."""
        began = utc_now()
        async with self._db.platform() as session:
            if not await servers.of_role(session, PROXMOX):
                return
            wanted = {
                pod.vmid: "running" if pod.status == ServiceStatus.ACTIVE else "stopped"
                for pod in await drift.steady(session, began)
            }
        guests = {one.place.vmid: one for one in await self._cluster.guests()}
        looks = await self._looks(guests, wanted)
        guests |= {vmid: look.guest for vmid, look in looks.items()}
        marks = {vmid: look.mark for vmid, look in looks.items() if look.read}
        async with self._db.platform() as session:
            pods = await drift.steady(session, began)
            seen = [_seen(pod, guests.get(pod.vmid), marks) for pod in pods]
            await drift.seen(session, seen)
            await _tell(session, pods, seen)
            await session.commit()

    async def _looks(
        self, guests: Mapping[int, Guest], wanted: Mapping[int, str]
    ) -> dict[int, _Look]:
        """At each guest that is listed on one of our VMIDs, unless its node is away."""
        few = asyncio.Semaphore(_AT_ONCE)

        async def look(guest: Guest) -> _Look:
            async with few:
                return await self._look(guest, wanted[guest.place.vmid])

        asked = [
            guests[vmid]
            for vmid in wanted.keys() & guests.keys()
            if guests[vmid].status != UNKNOWN
        ]
        looks = await asyncio.gather(*map(look, asked))
        return {one.guest.place.vmid: one for one in looks}

    async def _look(self, guest: Guest, wanted: str) -> _Look:
        """Its mark, since our tag proves nothing: a copy has it. And its status as the
        node says, if the list, which lags by seconds, tells another than is wanted."""
        try:
            config = await self._cluster.config(guest.place)
            if guest.status != wanted and config is not None:
                status = await self._cluster.status(guest.place)
                guest = replace(guest, status=status)
        except ProviderError as error:
            vmid = guest.place.vmid
            _log.warning("guest_unread", vmid=vmid, error=str(error))
            return _Look(replace(guest, status=UNKNOWN))
        if config is None:
            return _Look(guest)
        return _Look(guest, read=True, mark=mark_of(config))


async def _tell(
    session: Session, pods: Sequence[Any], seen: Sequence[Mapping[str, Any]]
) -> None:
    """What a job is changing just now keeps its alert until the next look."""
    fine = set()
    for pod, one in zip(pods, seen, strict=True):
        if one["drift"]:
            found = _finding(pod, Drift(one["drift"]))
            await alerts.raise_alert(session, CAUSE, found)
        else:
            fine.add(pod.id)
    standing = await alerts.subjects(session, CAUSE)
    for pod_id in standing & (fine | await drift.over(session, standing)):
        await alerts.end(session, CAUSE, pod_id)


def _seen(
    pod: Any, guest: Guest | None, marks: Mapping[int, str | None]
) -> dict[str, Any]:
    found = Drift.GONE if guest is None else _differs(pod, guest, marks)
    return {
        "id": pod.id,
        "seen": "absent" if guest is None else guest.status,
        "drift": str(found) if found else None,
    }


def _differs(pod: Any, guest: Guest, marks: Mapping[int, str | None]) -> Drift | None:
    """The worst first; of a node that is away, nothing new is known."""
    if guest.status == UNKNOWN:
        return Drift(pod.drift) if pod.drift else None
    if marks.get(guest.place.vmid, reference(pod.id)) != reference(pod.id):
        return Drift.FOREIGN
    if guest.place.node != pod.node:
        return Drift.ELSEWHERE
    running = guest.status == "running"
    if pod.status == ServiceStatus.ACTIVE:
        return None if running else Drift.STOPPED
    return Drift.RUNNING if running else None


def _finding(pod: Any, found: Drift) -> Finding:
    return Finding(
        tenant_id=pod.tenant_id,
        subject_id=pod.id,
        message=f"{pod.name} (VMID {pod.vmid} on {pod.node}): {_WORDS[found]}",
        facts={"cloudPodId": str(pod.id), "drift": str(found)},
    )


async def marked(db: Database, cluster: Listing) -> Listed:
    """Every guest with our tag and our mark, in words, by its effect's reference; and
    why others could not be read.

    Without a node in our rows the cluster is not asked."""
    there: dict[str, str] = {}
    unread = []
    async with db.platform() as session:
        if not await servers.of_role(session, PROXMOX):
            return Listed(there)
    for guest in await cluster.guests():
        if TAG not in guest.tags or guest.template:
            continue
        at = f"{guest.place.vmid} ({guest.name}) on {guest.place.node}"
        if guest.status == UNKNOWN:
            unread.append(f"{at} is on a node that is away")
            continue
        try:
            mark = mark_of(await cluster.config(guest.place) or {})
        except ProviderError as error:
            unread.append(f"{at} cannot be read: {error}")
            continue
        if mark is not None:
            there[mark.partition(":")[2]] = f"the guest {at}"
    return Listed(there, tuple(unread))
