"""What CloudPods use is kept by the minute, once, for a month."""

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from activities.errors import ProviderDown
from activities.providers.proxmox import Place
from models.base import utc_now
from models.cloudpods import CloudPod
from models.database import Database
from models.queries import samples
from models.servers import PROXMOX, Server
from models.states import ServiceStatus
from models.tenants import MIGRAHOSTING
from tests.api import rows
from workers.samples import Sampler

NOW = int(time.time()) // 60 * 60


def row(minute: int, **changed: Any) -> dict[str, Any]:
    """As a node tells it, so many minutes ago."""
    told = {"cpu": 0.5, "mem": 100, "disk": 7, "netin": 1000.0, "netout": 2000.0}
    return {"time": NOW - 60 * minute, "maxcpu": 2, **told, **changed}


class Nodes:
    """What each node tells, by VMID; one that is away raises."""

    def __init__(self) -> None:
        self.told: dict[int, list[Mapping[str, Any]]] = {}

    async def series(self, place: Place) -> list[Mapping[str, Any]]:
        if place.vmid not in self.told:
            raise ProviderDown("proxmox", f"{place.node} is away", code="http_595")
        return self.told[place.vmid]


@pytest.fixture
async def pods(db: Database) -> list[CloudPod]:
    """Two active ones and a suspended one."""
    buyer, plan = rows.customer(), rows.cloudpod_product()
    owned = rows.subscription(buyer, plan)
    node = Server(name="pve1", role=PROXMOX)
    made = [
        rows.cloudpod(owned, plan, vmid=vmid, server_id=node.id, status=status)
        for vmid, status in (
            (10_000, ServiceStatus.ACTIVE),
            (10_001, ServiceStatus.ACTIVE),
            (10_002, ServiceStatus.SUSPENDED),
        )
    ]
    await rows.add(db, buyer, plan, owned, node, *made)
    return made


async def kept(db: Database, pod: CloudPod) -> list[float]:
    async with db.platform() as session:
        found = await samples.series(
            session,
            pod.id,
            utc_now() - timedelta(days=40),
            utc_now(),
            timedelta(minutes=1),
        )
    return [one.cpu for one in found]


async def test_each_minute_is_kept_once_and_an_hour_of_silence_is_made_up_for(
    db: Database, pods: list[CloudPod]
) -> None:
    nodes = Nodes()
    nodes.told = {10_000: [row(3), row(2, cpu=None), row(1, cpu=0.75)], 10_001: []}
    await Sampler(db, nodes).round()
    nodes.told[10_000] = [row(3, cpu=0.1), row(1, cpu=0.1), row(0, cpu=1.0)]

    await Sampler(db, nodes).round()

    assert await kept(db, pods[0]) == [0.5, 0.75, 1.0]
    assert await kept(db, pods[2]) == []


async def test_one_that_cannot_be_asked_keeps_no_other_waiting(
    db: Database, pods: list[CloudPod]
) -> None:
    nodes = Nodes()
    nodes.told = {10_001: [row(1)]}

    await Sampler(db, nodes).round()

    assert [await kept(db, pod) for pod in pods] == [[], [0.5], []]


async def test_a_clock_that_was_ahead_for_a_while_ends_no_series(
    db: Database, pods: list[CloudPod]
) -> None:
    nodes = Nodes()
    hours = -60 * 5
    nodes.told = {10_000: [row(2), row(hours, cpu=0.9)], 10_001: []}
    await Sampler(db, nodes).round()
    nodes.told[10_000] = [row(2), row(1, cpu=0.75)]

    await Sampler(db, nodes).round()

    assert await kept(db, pods[0]) == [0.5, 0.75]


async def test_one_that_was_kept_from_the_future_keeps_no_other_away(
    db: Database, pods: list[CloudPod]
) -> None:
    ahead = {
        "cloudpod_id": pods[0].id,
        "tenant_id": MIGRAHOSTING,
        "at": utc_now() + timedelta(days=400),
        "cpu": 0.9,
        "memory": 1,
        "disk": 1,
        "net_in": 0.0,
        "net_out": 0.0,
    }
    async with db.platform() as session:
        await samples.add(session, [ahead])
        await session.commit()
    nodes = Nodes()
    nodes.told = {10_000: [row(1)], 10_001: []}

    await Sampler(db, nodes).round()

    assert await kept(db, pods[0]) == [0.5]


async def test_after_a_month_they_are_forgotten(
    db: Database, pods: list[CloudPod]
) -> None:
    ages = (timedelta(days=30, minutes=5), timedelta(days=29))
    async with db.platform() as session:
        await samples.add(
            session,
            [
                {
                    "cloudpod_id": pods[0].id,
                    "tenant_id": MIGRAHOSTING,
                    "at": utc_now() - age,
                    "cpu": 0.5,
                    "memory": 1,
                    "disk": 1,
                    "net_in": 0.0,
                    "net_out": 0.0,
                }
                for age in ages
            ],
        )
        await session.commit()

    await Sampler(db, Nodes()).round()

    assert len(await kept(db, pods[0])) == 1
    async with db.platform() as session:
        number = await (await session.connection()).execute(
            text("select count(*) from cloudpod_samples")
        )
        assert number.scalar_one() == 1
