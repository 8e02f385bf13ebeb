"""Our CloudPods against the cluster's guests, and what differs is told.

Nothing is repaired here: what stopped may be a customer's doing, and what is gone may
be somewhere. `POST /api/cloudpods/{id}/repair` is a job.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

import structlog

from activities.errors import ProviderError
from activities.guests import mark_of
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
UNKNOWN: Final = "unknown"
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
            known = {pod.vmid for pod in await drift.steady(session, began)}
        guests = {one.place.vmid: one for one in await self._cluster.guests()}
        marks, unread = await self._marks(
            [guests[one] for one in known & guests.keys()]
        )
        for one in unread:
            guests[one] = replace(guests[one], status=UNKNOWN)
        async with self._db.platform() as session:
            pods = await drift.steady(session, began)
            seen = [_seen(pod, guests.get(pod.vmid), marks) for pod in pods]
            await drift.seen(session, seen)
            await _tell(session, pods, seen)
            await session.commit()

    async def _marks(
        self, guests: Sequence[Guest]
    ) -> tuple[dict[int, str | None], dict[int, ProviderError]]:
        """Whose mark they carry, by VMID, and why others could not be read. Our tag
        proves nothing: a copy has it."""
        marks: dict[int, str | None] = {}
        unread: dict[int, ProviderError] = {}
        few = asyncio.Semaphore(_AT_ONCE)

        async def read(guest: Guest) -> None:
            try:
                async with few:
                    config = await self._cluster.config(guest.place)
            except ProviderError as error:
                unread[guest.place.vmid] = error
            else:
                if config is not None:
                    marks[guest.place.vmid] = mark_of(config)

        await asyncio.gather(*(read(one) for one in guests if one.status != UNKNOWN))
        if unread:
            first = str(next(iter(unread.values())))
            _log.warning("guests_unread", vmids=sorted(unread), first=first)
        return marks, unread


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
