"""A task is under way, and nobody knows of it: the answer that named it was lost. Who
asks again waits for it, or finds done what it did; nothing is done twice."""

import time
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from temporalio.testing import WorkflowEnvironment

from api.services import cloudpods as service
from models.cloudpods import CloudPod
from models.database import Database
from models.jobs import Job
from models.states import JobStatus, OrderStatus, SaveKind, SuspensionReason
from tests.workflows.operator import OPERATOR, steps
from tests.workflows.pods import MINI, NANO, PRICES, a_pod, held, hold, pod_world
from tests.workflows.shop import buy, settled
from tests.world import Providers, World

ONE = "/nodes/{node}/qemu/{vmid}"
CLONE = f"POST {ONE}/clone"
BOX = "/nodes/{node}/lxc/{vmid}"
SNAPSHOT = partial(service.save, kind=SaveKind.SNAPSHOT)
BACKUP = partial(service.save, kind=SaveKind.BACKUP)
SUSPEND = partial(service.suspend, reason=SuspensionReason.TENANT_REQUEST)
BIGGER = partial(service.resize, memory=4096)
DELETE = service.delete


@pytest.fixture
async def pods(
    simulators: Providers, db: Database, temporal: WorkflowEnvironment
) -> AsyncIterator[World]:
    async with pod_world(simulators, db, temporal, patience_seconds=20.0) as made:
        yield made


async def done(world: World, what: Any, pod: CloudPod) -> Counter[str]:
    """What it changed at the cluster."""
    before = len(await world.effects("proxmox"))
    async with world.db.platform() as session:
        asked = await what(session, world.client, OPERATOR, pod.id)
    job: Job = asked[1]
    job = await world.ended(job)
    assert job.status == JobStatus.SUCCEEDED, job
    return Counter(one for one, _ in (await world.effects("proxmox"))[before:])


@pytest.mark.parametrize(
    ("item", "what", "call", "task", "once"),
    [
        (MINI, SNAPSHOT, f"POST {ONE}/snapshot", "qmsnapshot", "snapshot.made"),
        (NANO, SNAPSHOT, f"POST {BOX}/snapshot", "vzsnapshot", "snapshot.made"),
        (MINI, BACKUP, "POST /nodes/{node}/vzdump", "vzdump", "backup.made"),
        (NANO, BACKUP, "POST /nodes/{node}/vzdump", "vzdump", "backup.made"),
        (MINI, SUSPEND, f"POST {ONE}/status/stop", "qmstop", "guest.stopped"),
        (NANO, SUSPEND, f"POST {BOX}/status/stop", "vzstop", "guest.stopped"),
        (MINI, BIGGER, f"POST {ONE}/status/shutdown", "qmshutdown", "guest.stopped"),
        (MINI, BIGGER, f"POST {ONE}/status/start", "qmstart", "guest.started"),
        (MINI, DELETE, "POST /nodes/{node}/vzdump", "vzdump", "backup.made"),
        (MINI, DELETE, f"DELETE {ONE}", "qmdestroy", "guest.removed"),
        (NANO, DELETE, f"DELETE {BOX}", "vzdestroy", "guest.removed"),
    ],
)
async def test_what_is_under_way_is_done_once(
    pods: World,
    item: tuple[str, str],
    what: Any,
    call: str,
    task: str,
    once: str,
) -> None:
    pod = await a_pod(pods, item)
    lost = {"kind": "execute_then_timeout", "op": call, "seconds": 0.05, "times": 1}
    slow = {"kind": "slow", "op": f"task {task}", "seconds": 2.5, "times": 1}
    await pods.fault("proxmox", lost, slow)

    changed = await done(pods, what, pod)

    assert changed[once] == 1
    fired = await pods.control("proxmox", "GET", "faults")
    assert [one["fired"] for one in fired] == [1, 1]


@pytest.mark.parametrize(
    ("item", "call", "disk"), [(MINI, ONE, "scsi0"), (NANO, BOX, "rootfs")]
)
async def test_a_disk_that_grows_already_is_waited_for(
    pods: World, item: tuple[str, str], call: str, disk: str
) -> None:
    pod = await a_pod(pods, item)
    resize = {"op": f"PUT {call}/resize", "seconds": 0.05, "times": 1}
    slow = {"kind": "slow", "op": "task resize", "seconds": 2.5, "times": 1}
    await pods.fault("proxmox", {"kind": "execute_then_timeout", **resize}, slow)

    await done(pods, partial(service.resize, disk=pod.disk + 5), pod)

    guest = pods.providers.proxmox.cluster.guest(pod.vmid)
    assert f"size={pod.disk + 5}G" in guest.config[disk]
    fired = await pods.control("proxmox", "GET", "faults")
    assert [one["fired"] for one in fired] == [1, 1]


@pytest.mark.parametrize(
    ("item", "call", "task"),
    [
        (MINI, CLONE, "qmclone"),
        (NANO, "POST /nodes/{node}/lxc", "vzcreate"),
        (MINI, f"POST {ONE}/status/start", "qmstart"),
        (NANO, f"POST {BOX}/status/start", "vzstart"),
    ],
)
async def test_one_that_is_being_made_is_waited_for(
    pods: World, item: tuple[str, str], call: str, task: str
) -> None:
    lost = {"kind": "execute_then_timeout", "op": call, "seconds": 0.05, "times": 1}
    slow = {"kind": "slow", "op": f"task {task}", "seconds": 2.5, "times": 1}
    await pods.fault("proxmox", lost, slow)

    await a_pod(pods, item)

    effects = Counter(effect for effect, _ in await pods.effects("proxmox"))
    assert (effects["guest.created"], effects["guest.started"]) == (1, 1)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "execute_then_timeout", "op": CLONE, "seconds": 0.1},
        {"kind": "execute_then_fail", "op": CLONE, "status": 500},
        {"kind": "fail", "op": CLONE, "status": 595},
        {"kind": "fail", "op": CLONE, "status": 596},
        {
            "kind": "fail",
            "op": CLONE,
            "message": "can't lock file '/var/lock/qemu-server/lock-9000.conf'",
        },
        {"kind": "garbage", "op": CLONE},
        {
            "kind": "execute_then_fail",
            "op": CLONE,
            "message": "unable to create VM 5000: config file already exists",
        },
    ],
    ids=lambda fault: f"{fault['kind']}-{fault.get('status', '')}",
)
async def test_a_clone_whose_answer_is_lost_is_made_once(
    pods: World, fault: dict[str, Any]
) -> None:
    await pods.fault("proxmox", fault)

    await a_pod(pods, MINI)

    effects = Counter(effect for effect, _ in await pods.effects("proxmox"))
    assert effects["guest.created"] == 1


@pytest.mark.parametrize(
    ("item", "task"), [(MINI, "qmclone"), (NANO, "vzcreate"), (MINI, "qmstart")]
)
@pytest.mark.parametrize(
    "said",
    [
        "can't lock file '/var/lock/qemu-server/lock-9000.conf' - got timeout",
        "interrupted by signal",
    ],
)
async def test_a_task_that_ended_by_no_fault_of_ours_is_asked_for_again(
    pods: World, item: tuple[str, str], task: str, said: str
) -> None:
    broken = {"kind": "reject", "op": f"task {task}", "message": said, "times": 1}
    await pods.fault("proxmox", broken)

    await a_pod(pods, item)

    effects = Counter(effect for effect, _ in await pods.effects("proxmox"))
    assert (effects["guest.created"], effects["guest.started"]) == (1, 1)


async def test_a_node_that_is_away_amid_a_clone_is_waited_for_by_nobody(
    pods: World,
) -> None:
    """As long as the patience of a step lasts, which is a day."""
    await pods.fault("proxmox", hold("task qmclone"))
    order = await buy(pods, MINI, price=PRICES[MINI])

    async def asked(op: str) -> int:
        return [one["op"] for one in await pods.calls("proxmox")].count(op)

    await held(pods, "task qmclone")
    await pods.control("proxmox", "PUT", "nodes", json={"pve1": False})
    await pods.fault("proxmox")
    look = f"GET {ONE}/config"
    seen = await asked(look)
    await pods.until(lambda: asked(look), lambda times: times > seen + 2)
    await pods.control("proxmox", "PUT", "nodes", json={"pve1": True})

    _, order = await settled(pods, order)

    assert order.status == OrderStatus.COMPLETED
    effects = Counter(effect for effect, _ in await pods.effects("proxmox"))
    assert effects["guest.created"] == 1


@pytest.mark.parametrize("fault", ["fail", "execute_then_timeout", "execute_then_fail"])
async def test_one_that_a_resize_left_standing_is_started_and_restarted_once(
    pods: World, fault: str
) -> None:
    pod = await a_pod(pods, MINI)
    start = {"op": f"POST {ONE}/status/start", "seconds": 0.05, "times": 1}
    await pods.fault("proxmox", {"kind": fault, **start})

    changed = await done(pods, BIGGER, pod)

    assert (changed["guest.stopped"], changed["guest.started"]) == (1, 1)
    assert pods.providers.proxmox.cluster.guest(pod.vmid).status == "running"


async def test_a_resize_of_the_disk_alone_restarts_nothing(pods: World) -> None:
    pod = await a_pod(pods, MINI)

    changed = await done(pods, partial(service.resize, disk=pod.disk + 1), pod)

    assert set(changed) == {"guest.changed"}


async def test_a_container_keeps_its_mac_address(pods: World) -> None:
    put = {"kind": "execute_then_fail", "op": f"PUT {BOX}/config", "times": 1}
    await pods.fault("proxmox", put)
    pod = await a_pod(pods, NANO)
    net = pods.providers.proxmox.cluster.guest(pod.vmid).config["net0"]

    await done(pods, BIGGER, pod)

    effects = [effect for effect, _ in await pods.effects("proxmox")]
    assert effects.count("guest.changed") == 1  # its new size, and nothing before
    assert pods.providers.proxmox.cluster.guest(pod.vmid).config["net0"] == net


async def test_a_firewall_group_that_was_begun_is_finished(pods: World) -> None:
    broken = {"kind": "fail", "op": "POST /cluster/firewall/groups/{group}", "at": 2}
    await pods.fault("proxmox", broken | {"times": 1})

    await a_pod(pods, MINI)

    groups = pods.providers.proxmox.cluster.firewall_config("cluster")["groups"]
    there = [rule["macro"] for rule in groups["mpanel-pod"]]
    assert sorted(there) == ["HTTP", "HTTPS", "Ping", "SSH"]


async def test_a_worker_that_is_told_to_end_leaves_a_long_task_to_the_next(
    pods: World,
) -> None:
    pod = await a_pod(pods, MINI)
    await pods.fault("proxmox", hold("task vzdump"))
    async with pods.db.platform() as session:
        asked = await BACKUP(session, pods.client, OPERATOR, pod.id)
    await held(pods, "task vzdump")
    began = time.monotonic()

    await pods.worker.stop()

    assert time.monotonic() - began < 40
    pods.worker.start()
    await pods.fault("proxmox")
    assert (await pods.ended(asked[1])).status == JobStatus.SUCCEEDED
    effects = Counter(effect for effect, _ in await pods.effects("proxmox"))
    assert effects["backup.made"] == 1


async def test_a_backup_of_one_that_is_locked_waits_as_the_log_tells_why(
    pods: World,
) -> None:
    pod = await a_pod(pods, MINI)
    guest = pods.providers.proxmox.cluster.guest(pod.vmid)
    guest.lock = "backup"
    async with pods.db.platform() as session:
        asked = await BACKUP(session, pods.client, OPERATOR, pod.id)
    job: Job = asked[1]

    told = await pods.until(
        lambda: steps(pods, job),
        lambda found: any("locked" in str(one.message) for one in found),
    )
    assert any("job errors" in str(one.message) for one in told)
    guest.lock = None

    assert (await pods.ended(job)).status == JobStatus.SUCCEEDED


async def test_a_task_that_its_node_took_down_with_it_is_asked_for_again(
    pods: World,
) -> None:
    pod = await a_pod(pods, MINI)
    lost = {"kind": "reject", "op": "task qmstop", "message": "unexpected status"}
    await pods.fault("proxmox", {**lost, "times": 1})

    told = await done(pods, SUSPEND, pod)

    assert told["guest.stopped"] == 1
