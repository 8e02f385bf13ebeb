"""What a node says is held against what we brought about, and differences are told."""

from dataclasses import replace
from typing import Any

import pytest
from sqlmodel import select

from activities.errors import ProviderDown, ProviderError, ProviderRejected
from activities.providers.proxmox import Guest, Place
from models.alerts import Alert
from models.base import utc_now
from models.cloudpods import CloudPod
from models.database import Database
from models.jobs import Job
from models.servers import PROXMOX, Server
from models.states import AlertStatus, Drift, JobKind, JobStatus, ServiceStatus
from models.tenants import MIGRAHOSTING
from tests.api import rows
from workers.drift import DriftWatch, marked

ACTIVE, SUSPENDED = ServiceStatus.ACTIVE, ServiceStatus.SUSPENDED


class Cluster:
    """Guests as they are listed, and whose mark each carries."""

    def __init__(self) -> None:
        self.listed: list[Guest] = []
        self.marks: dict[int, str] = {}
        self.refused: dict[int, ProviderError] = {}
        self.asked: list[int] = []
        self.now: dict[int, str] = {}

    async def guests(self) -> list[Guest]:
        return self.listed

    async def config(self, place: Place) -> dict[str, Any]:
        self.asked.append(place.vmid)
        if refused := self.refused.get(place.vmid):
            raise refused
        return {"description": self.marks.get(place.vmid, "")}

    async def status(self, place: Place) -> str:
        """As its node says, which the list follows after some seconds."""
        (listed,) = [one for one in self.listed if one.place == place]
        return self.now.get(place.vmid, listed.status)


def guest(pod: CloudPod, **changed: Any) -> Guest:
    """As it should be."""
    place = Place("pve1", "qemu", pod.vmid or 0)
    whole = Guest(place, pod.name, "running", False, ("mpanel",), None, 1, 1, 1)
    return replace(whole, **changed)


@pytest.fixture
async def pod(db: Database) -> CloudPod:
    buyer, plan = rows.customer(), rows.cloudpod_product()
    owned = rows.subscription(buyer, plan)
    node = Server(name="pve1", role=PROXMOX)
    made = rows.cloudpod(owned, plan, vmid=10_000, server_id=node.id)
    await rows.add(db, buyer, plan, owned, node, made)
    return made


async def now(db: Database, pod: CloudPod) -> tuple[str, str | None, list[str]]:
    """(seen, drift, the messages of open alerts)."""
    async with db.platform() as session:
        row = await session.get_one(CloudPod, pod.id)
        found = await session.exec(
            select(Alert.message).where(
                Alert.subject_id == pod.id, Alert.status == AlertStatus.OPEN
            )
        )
        return row.seen, row.drift, list(found.all())


async def put(db: Database, pod: CloudPod, status: ServiceStatus) -> None:
    async with db.platform() as session:
        (await session.get_one(CloudPod, pod.id)).status = status
        await session.commit()


@pytest.mark.parametrize(
    ("status", "changed", "found", "words"),
    [
        (ACTIVE, {"status": "stopped"}, Drift.STOPPED, "stands still"),
        (SUSPENDED, {"status": "running"}, Drift.RUNNING, "runs"),
        (ACTIVE, {"tags": ()}, Drift.FOREIGN, "another guest"),
        (ACTIVE, {"tags": ("mpanel",)}, Drift.FOREIGN, "another guest"),
        (
            ACTIVE,
            {"place": Place("pve2", "qemu", 10_000)},
            Drift.ELSEWHERE,
            "another node",
        ),
        (ACTIVE, None, Drift.GONE, "is gone"),
    ],
)
async def test_each_difference_is_told_once_and_ends_by_itself(
    db: Database,
    pod: CloudPod,
    status: ServiceStatus,
    changed: dict[str, Any] | None,
    found: Drift,
    words: str,
) -> None:
    cluster = Cluster()
    watch = DriftWatch(db, cluster)
    await put(db, pod, status)
    cluster.listed = [] if changed is None else [guest(pod, **changed)]
    cluster.marks = {} if found == Drift.FOREIGN else {10_000: pod.reference}

    await watch.round()
    await watch.round()

    _, drift, told = await now(db, pod)
    assert drift == found
    (message,) = told
    assert words in message

    wanted = "running" if status == ACTIVE else "stopped"
    cluster.listed = [guest(pod, status=wanted)]
    cluster.marks = {10_000: pod.reference}
    await watch.round()
    assert await now(db, pod) == (wanted, None, [])


@pytest.mark.parametrize(
    ("status", "listed", "said"),
    [(ACTIVE, "stopped", "running"), (SUSPENDED, "running", "stopped")],
)
async def test_a_list_that_lags_behind_the_node_is_no_drift(
    db: Database, pod: CloudPod, status: ServiceStatus, listed: str, said: str
) -> None:
    await put(db, pod, status)
    cluster = Cluster()
    cluster.listed = [guest(pod, status=listed)]
    cluster.marks = {10_000: pod.reference}
    cluster.now = {10_000: said}

    await DriftWatch(db, cluster).round()

    assert await now(db, pod) == (said, None, [])


async def test_our_guest_without_its_tag_is_known_by_its_mark(
    db: Database, pod: CloudPod
) -> None:
    cluster = Cluster()
    cluster.listed = [guest(pod, tags=())]
    cluster.marks = {10_000: pod.reference}

    await DriftWatch(db, cluster).round()

    assert await now(db, pod) == ("running", None, [])


async def test_of_a_node_that_is_away_nothing_is_said(
    db: Database, pod: CloudPod
) -> None:
    cluster = Cluster()
    cluster.listed = [guest(pod, status="unknown")]

    await DriftWatch(db, cluster).round()

    assert await now(db, pod) == ("unknown", None, [])


@pytest.mark.parametrize(
    "refused",
    [
        ProviderDown("proxmox", "595 no route to host", code="http_595"),
        ProviderRejected("proxmox", "403 Permission check failed", code="http_403"),
    ],
    ids=["away", "forbidden"],
)
async def test_one_whose_notes_cannot_be_read_hides_no_other(
    db: Database, pod: CloudPod, refused: ProviderError
) -> None:
    buyer, plan = rows.customer(), rows.cloudpod_product()
    owned = rows.subscription(buyer, plan)
    other = rows.cloudpod(owned, plan, vmid=10_001, server_id=pod.server_id)
    await rows.add(db, buyer, plan, owned, other)
    cluster = Cluster()
    cluster.listed = [guest(pod), guest(other, status="stopped")]
    cluster.marks = {10_000: "somebody's", 10_001: other.reference}
    watch = DriftWatch(db, cluster)
    await watch.round()
    cluster.refused = {10_000: refused}
    cluster.listed = [guest(pod), guest(other)]

    await watch.round()

    assert await now(db, other) == ("running", None, [])
    seen, drift, told = await now(db, pod)
    assert (seen, drift) == ("unknown", Drift.FOREIGN)
    assert "another guest" in told[0]


async def test_what_a_job_changes_is_no_drift(db: Database, pod: CloudPod) -> None:
    job = Job(
        tenant_id=MIGRAHOSTING,
        kind=JobKind.CLOUDPOD_REBUILD,
        subject_id=pod.id,
        status=JobStatus.RUNNING,
        exclusive=False,
    )
    await rows.add(db, job)
    watch = DriftWatch(db, Cluster())

    await watch.round()

    assert (await now(db, pod))[1:] == (None, [])
    async with db.platform() as session:
        row = await session.get_one(Job, job.id)
        row.status, row.updated_at = JobStatus.SUCCEEDED, utc_now()
        await session.commit()
    await watch.round()
    assert (await now(db, pod))[1] == Drift.GONE


async def test_a_removed_cloudpod_leaves_no_alert(db: Database, pod: CloudPod) -> None:
    watch = DriftWatch(db, Cluster())
    await watch.round()
    assert (await now(db, pod))[2]
    async with db.platform() as session:
        row = await session.get_one(CloudPod, pod.id)
        row.status, row.vmid = ServiceStatus.TERMINATED, None
        await session.commit()
    other = rows.cloudpod_product()
    buyer = rows.customer()
    owned = rows.subscription(buyer, other)
    steady = rows.cloudpod(owned, other, vmid=10_001, server_id=pod.server_id)
    await rows.add(db, buyer, other, owned, steady)

    await watch.round()

    assert (await now(db, pod))[2] == []


async def test_guests_with_our_mark_are_listed_for_the_orphan_report(
    db: Database, pod: CloudPod
) -> None:
    cluster = Cluster()
    cluster.listed = [guest(pod), guest(pod, place=Place("pve1", "qemu", 7), tags=())]
    cluster.marks = {10_000: pod.reference, 7: pod.reference}

    there = await marked(db, cluster)

    assert list(there.there) == [str(pod.id)]
    assert there.unread == ()
    assert cluster.asked == [10_000]


async def test_who_is_away_or_cannot_be_read_is_told_beside_those_who_are_there(
    db: Database, pod: CloudPod
) -> None:
    cluster = Cluster()
    places = [Place("pve1", "qemu", 10_001), Place("pve2", "lxc", 10_002)]
    cluster.listed = [
        guest(pod, place=places[0]),
        guest(pod, place=places[1], status="unknown"),
        guest(pod),
    ]
    cluster.marks = {10_000: pod.reference}
    cluster.refused = {10_001: ProviderDown("proxmox", "595", code="http_595")}

    there = await marked(db, cluster)

    assert list(there.there) == [str(pod.id)]
    unreadable, away = there.unread
    assert "10001" in unreadable
    assert "10002" in away
    assert "pve2" in away
