"""The Proxmox client against a whole simulated cluster."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from simulators import proxmox as simulator
from simulators.proxmox.cluster import BACKUPS, CT_TEMPLATE, VM_TEMPLATE

from activities.errors import ProviderDown, ProviderError, ProviderRejected
from activities.gate import OpenGate
from activities.guests import over
from activities.providers.proxmox import LXC, QEMU, Place, Proxmox, Task

TOKEN, SECRET = "mpanel@pve!test", "the-token-of-the-tests"
TEMPLATE = Place("pve1", QEMU, VM_TEMPLATE)
GiB = 1024**3


@pytest.fixture(scope="module")
async def cluster(tmp_path_factory: Any) -> AsyncIterator[simulator.Proxmox]:
    settings = {"port": 0, "token_id": TOKEN, "token_secret": SECRET}
    made = simulator.build(settings, tmp_path_factory.mktemp("proxmox"))
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def control(cluster: simulator.Proxmox) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=cluster.url, timeout=60, trust_env=False
    ) as http:
        await http.post("/_simulator/reset")
        yield http


@pytest.fixture
async def pve(
    cluster: simulator.Proxmox,
    control: httpx.AsyncClient,
) -> AsyncIterator[Proxmox]:
    client = client_of(cluster)
    yield client
    await client.aclose()


def client_of(cluster: simulator.Proxmox, secret: str = SECRET) -> Proxmox:
    return Proxmox(
        cluster.api_url,
        TOKEN,
        secret,
        ca_file=cluster.ca_file,
        gate=OpenGate(),
        timeout=60,
    )


async def ended(pve: Proxmox, upid: str | None) -> Task:
    assert upid is not None
    until = time.monotonic() + 60
    while not (task := await pve.task(upid)).ended:
        assert time.monotonic() < until, f"{upid} does not end"
        await asyncio.sleep(0.02)
    return task


async def well(pve: Proxmox, upid: str | None) -> None:
    task = await ended(pve, upid)
    assert task.well, task.exit_status


async def a_vm(pve: Proxmox, vmid: int = 101, node: str = "pve2") -> Place:
    upid = await pve.clone(
        TEMPLATE, vmid, name="pod", description=f"mpanel:{vmid}", node=node
    )
    await well(pve, upid)
    return Place(node, QEMU, vmid)


async def a_container(pve: Proxmox, vmid: int = 102) -> Place:
    place = Place("pve1", LXC, vmid)
    upid = await pve.create_container(
        place,
        CT_TEMPLATE,
        hostname="pod",
        rootfs="ceph:8",
        net0="name=eth0,bridge=vmbr0,ip=192.0.2.6/24",
        description=f"mpanel:{vmid}",
    )
    await well(pve, upid)
    return place


async def effects(control: httpx.AsyncClient) -> list[str]:
    ledger = (await control.get("/_simulator/ledger")).json()
    return [one["effect"] for one in ledger["effects"]]


async def test_a_clone_carries_our_words_and_lies_where_it_was_wanted(
    pve: Proxmox,
) -> None:
    place = await a_vm(pve)

    config = await pve.config(place)

    assert config is not None
    assert config["description"] == "mpanel:101"
    assert await pve.config(Place("pve1", QEMU, 101)) is None
    found = await pve.find(101)
    assert found is not None
    assert (found.place, found.template) == (place, False)


async def test_a_vm_starts_with_the_address_it_was_given_and_grows(
    pve: Proxmox,
) -> None:
    place = await a_vm(pve)
    await pve.configure(place, cores=2, memory=2048, ipconfig0="ip=192.0.2.5/24")
    await well(pve, await pve.grow(place, "scsi0", 20))

    await well(pve, await pve.start(place))

    assert await pve.status(place) == "running"
    assert await pve.addresses(place) == ["192.0.2.5"]
    found = await pve.find(101)
    assert found is not None
    assert (found.cores, found.memory, found.disk) == (2, 2 * GiB, 20 * GiB)


async def test_a_disk_does_not_shrink(pve: Proxmox) -> None:
    place = await a_vm(pve)

    with pytest.raises(ProviderRejected) as refused:
        await pve.grow(place, "scsi0", 1)

    assert refused.value.code == "shrink"


async def test_a_container_is_made_started_grown_and_destroyed(
    pve: Proxmox, control: httpx.AsyncClient
) -> None:
    place = await a_container(pve)
    await well(pve, await pve.start(place))
    assert await pve.addresses(place) == ["192.0.2.6"]
    await well(pve, await pve.grow(place, "rootfs", 10))
    await well(pve, await pve.stop(place))

    await well(pve, await pve.destroy(place))

    assert await pve.config(place) is None
    assert await pve.find(102) is None
    assert await effects(control) == [
        "guest.created",
        "guest.started",
        "guest.changed",
        "guest.stopped",
        "guest.removed",
    ]


@pytest.mark.parametrize("make", [a_vm, a_container])
async def test_a_backup_brings_back_what_it_saw(pve: Proxmox, make: Any) -> None:
    place = await make(pve)
    await pve.configure(place, memory=1024)
    await well(pve, await pve.back_up(place, BACKUPS, notes="before"))
    await pve.configure(place, memory=4096)
    [backup] = await pve.backups(place.node, BACKUPS, place.vmid)

    await well(pve, await pve.restore(place, backup.volid, over=True))

    config = await pve.config(place)
    assert config is not None
    assert int(config["memory"]) == 1024
    await pve.delete_volume(place.node, backup.volid)
    await pve.delete_volume(place.node, backup.volid)
    assert await pve.backups(place.node, BACKUPS, place.vmid) == []


@pytest.mark.parametrize("make", [a_vm, a_container])
async def test_a_snapshot_is_rolled_back_to(pve: Proxmox, make: Any) -> None:
    place = await make(pve)
    await well(pve, await pve.snapshot(place, "before", description="d"))
    await pve.configure(place, memory=4096)

    await well(pve, await pve.roll_back(place, "before"))

    config = await pve.config(place)
    assert config is not None
    assert int(config["memory"]) == 512
    assert await pve.snapshots(place) == {"before": "d"}
    await well(pve, await pve.delete_snapshot(place, "before"))
    assert await pve.snapshots(place) == {}


@pytest.mark.parametrize("make", [a_vm, a_container])
async def test_a_running_guest_moves_and_goes_on(pve: Proxmox, make: Any) -> None:
    place = await make(pve)
    await well(pve, await pve.start(place))

    await well(pve, await pve.move(place, "pve3", running=True))

    moved = await pve.find(place.vmid)
    assert moved is not None
    assert (moved.place.node, moved.status) == ("pve3", "running")


async def test_a_vmid_is_never_given_twice(pve: Proxmox) -> None:
    await a_vm(pve)

    with pytest.raises(ProviderRejected) as refused:
        await a_vm(pve)

    assert refused.value.code == "exists"


async def test_a_task_that_fails_says_why_and_leaves_nothing(
    pve: Proxmox, control: httpx.AsyncClient
) -> None:
    fault = {"kind": "reject", "op": "task qmclone", "message": "clone failed: rbd"}
    await control.put("/_simulator/faults", json=[fault])

    upid = await pve.clone(TEMPLATE, 101, name="p", description="d", node="pve1")
    task = await ended(pve, upid)

    assert (task.well, task.exit_status) == (False, "clone failed: rbd")
    assert [one.upid for one in await pve.tasks(Place("pve1", QEMU, 9000))] == [upid]


async def test_guests_that_are_guarded_at_once_share_one_group(
    pve: Proxmox, cluster: simulator.Proxmox, control: httpx.AsyncClient
) -> None:
    guests = [await a_vm(pve, vmid) for vmid in (101, 102, 103)]
    making = {"POST /cluster/firewall/groups": 2}  # all have looked before one makes
    await control.put("/_simulator/settings", json={"delays": making})

    await asyncio.gather(
        *(pve.guard(place, "pods", ["198.51.100.7"]) for place in guests)
    )

    calls = (await control.get("/_simulator/ledger")).json()["calls"]
    made = [one["status"] for one in calls if one["op"] in making]
    assert "400" in made, f"nobody came second: {made}"
    async with httpx.AsyncClient(
        base_url=f"{cluster.api_url}/api2/json",
        headers={"Authorization": f"PVEAPIToken={TOKEN}={SECRET}"},
        verify=ssl.create_default_context(cafile=str(cluster.ca_file)),
        trust_env=False,
    ) as raw:
        rules = (await raw.get("/cluster/firewall/groups/pods")).json()["data"]
        walls = [
            (await raw.get(f"/nodes/pve2/qemu/{place.vmid}/firewall/rules")).json()
            for place in guests
        ]
    assert {one["macro"] for one in rules} == {"Ping", "SSH", "HTTP", "HTTPS"}
    assert [wall["data"][0]["action"] for wall in walls] == ["pods"] * 3


async def test_a_guest_sends_from_its_own_addresses_alone(
    pve: Proxmox, cluster: simulator.Proxmox
) -> None:
    place, mine = await a_vm(pve, 101), ["198.51.100.7", "2001:db8::7"]
    wall = cluster.cluster.firewall_config("vm", vmid=101)

    await pve.guard(place, "pods", mine)
    others = ("198.51.100.9", "10.0.0.0/8", "10.1.2.3/24", "dc/office")
    wall["ipset"]["ipfilter-net0"] += [{"cidr": other} for other in others]
    wall["ipset"]["ipfilter-net0"].pop(0)
    await pve.guard(place, "pods", mine)

    senders = [one["cidr"] for one in wall["ipset"]["ipfilter-net0"]]
    assert sorted(senders) == mine
    assert wall["options"] == {
        "enable": 1,
        "policy_in": "DROP",
        "policy_out": "ACCEPT",
        "ipfilter": 1,
        "macfilter": 1,
        "radv": 0,
    }
    assert len(wall["rules"]) == 1


@pytest.mark.parametrize(
    ("status", "said", "kind", "code"),
    [
        (500, "can't lock file '/var/lock/x' - got timeout", ProviderDown, "lock"),
        (500, "something nobody has heard of", ProviderDown, "http_500"),
        (
            500,
            "VM 101 qga command 'guest-network-get-interfaces' failed - got timeout",
            ProviderDown,
            "agent",
        ),
        (500, "no space left on device", ProviderRejected, "disk_full"),
        (500, "no such cluster node 'pve9'", ProviderDown, "no_node"),
        (595, "no route", ProviderDown, "http_595"),
        (596, "broken pipe", ProviderDown, "http_596"),
        (403, "Permission check failed", ProviderRejected, "http_403"),
        (400, "Parameter verification failed.", ProviderRejected, "http_400"),
    ],
)
async def test_an_error_means_what_its_words_say(
    pve: Proxmox,
    control: httpx.AsyncClient,
    status: int,
    said: str,
    kind: type[ProviderError],
    code: str,
) -> None:
    fault = {"kind": "fail", "op": "GET *", "status": status, "message": said}
    await control.put("/_simulator/faults", json=[fault])

    with pytest.raises(kind) as raised:
        await pve.nodes()

    assert raised.value.code == code
    assert said.split(maxsplit=1)[0] in raised.value.message


async def test_a_task_that_runs_is_listed_as_one_that_has_not_ended(
    pve: Proxmox, cluster: simulator.Proxmox, control: httpx.AsyncClient
) -> None:
    place = await a_vm(pve)
    slow = {"delays": {"task qmstart": 3}}
    await control.put("/_simulator/settings", json=slow)
    upid = await pve.start(place)

    (running,) = [one for one in await pve.tasks(place) if one.upid == upid]

    assert (running.kind, running.ended) == ("qmstart", False)
    await well(pve, upid)
    (over,) = [one for one in await pve.tasks(place) if one.upid == upid]
    assert (over.ended, over.well) == (True, True)


async def test_a_task_that_its_node_has_forgotten_is_absent(pve: Proxmox) -> None:
    forgotten = "UPID:pve1:0000ABCD:00001234:5F000000:qmclone:101:panel@pve!x:"

    with pytest.raises(ProviderRejected) as refused:
        await pve.task(forgotten)

    assert refused.value.code == "absent"
    await over(pve, forgotten)


async def test_a_container_on_an_older_proxmox_tells_its_addresses_too(
    pve: Proxmox, cluster: simulator.Proxmox
) -> None:
    place = await a_container(pve)
    await well(pve, await pve.start(place))
    assert await pve.addresses(place) == ["192.0.2.6"]

    cluster.cluster.older = True
    try:
        assert await pve.addresses(place) == ["192.0.2.6"]
    finally:
        cluster.cluster.older = False


@pytest.mark.parametrize("status", [403, 500])
async def test_an_error_is_never_read_as_gone(
    pve: Proxmox, control: httpx.AsyncClient, status: int
) -> None:
    place = await a_vm(pve)
    fault = {"kind": "fail", "op": "*/config", "status": status}
    await control.put("/_simulator/faults", json=[fault])

    with pytest.raises(ProviderError):
        await pve.config(place)


async def test_a_node_that_is_down_is_trouble_and_not_absence(
    pve: Proxmox, control: httpx.AsyncClient
) -> None:
    place = await a_vm(pve)
    await control.put("/_simulator/nodes", json={"pve2": False})

    with pytest.raises(ProviderDown):
        await pve.config(place)

    found = await pve.find(101)
    assert found is not None
    assert found.status == "unknown"
    assert [one.name for one in await pve.nodes() if not one.online] == ["pve2"]


async def test_a_lost_answer_and_garbage_are_unknown_outcomes(
    pve: Proxmox, control: httpx.AsyncClient
) -> None:
    clone = "POST /nodes/{node}/qemu/{vmid}/clone"
    for kind, vmid, code in (
        ("execute_then_timeout", 101, "network"),
        ("garbage", 102, "garbage"),
    ):
        fault = {"kind": kind, "op": clone, "seconds": 0.1}
        await control.put("/_simulator/faults", json=[fault])

        with pytest.raises(ProviderDown) as raised:
            await a_vm(pve, vmid)

        assert raised.value.code == code
    tasks = await pve.tasks(Place("pve1", QEMU, VM_TEMPLATE))
    assert [one.kind for one in tasks] == ["qmclone", "qmclone"]


async def test_a_wrong_token_is_refused_for_good(cluster: simulator.Proxmox) -> None:
    stranger = client_of(cluster, "another-secret")

    with pytest.raises(ProviderRejected) as refused:
        await stranger.nodes()

    assert refused.value.code == "http_401"
    assert "another-secret" not in refused.value.message
    await stranger.aclose()


async def test_a_certificate_that_nobody_signed_is_refused(
    cluster: simulator.Proxmox,
) -> None:
    client = Proxmox(cluster.api_url, TOKEN, SECRET, ca_file=None, gate=OpenGate())

    with pytest.raises(ProviderRejected) as refused:
        await client.nodes()

    assert refused.value.code == "tls"
    await client.aclose()


async def test_figures_come_from_the_node(pve: Proxmox) -> None:
    place = await a_vm(pve)
    await well(pve, await pve.start(place))

    rows = await pve.series(place)

    assert len(rows) == 60
    assert {row["cpu"] for row in rows} == {0.25}
    ticket, port = await pve.console(place)
    assert ticket
    assert port == 5900
