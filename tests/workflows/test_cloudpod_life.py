"""What a CloudPod is asked for during its life, one act after the other."""

import copy
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowExecutionStatus, WorkflowUpdateFailedError
from temporalio.testing import WorkflowEnvironment

from activities.calls import ACTS, JobRef, Life
from api.services import cloudpods as service
from models.cloudpods import CloudPod
from models.database import Database
from models.errors import Busy, Denied, Invalid, WrongState
from models.jobs import Decision, Job
from models.queries import cloudpods
from models.states import (
    BackupStatus,
    DecisionStatus,
    Drift,
    JobKind,
    JobStatus,
    OrderStatus,
    SaveKind,
    ServiceStatus,
    SuspensionReason,
)
from tests.workflows.node_paths import REFUSED
from tests.workflows.operator import OPERATOR, abort_item, decision
from tests.workflows.paths import rows
from tests.workflows.pods import (
    MINI,
    NANO,
    a_move,
    a_pod,
    ask,
    guests,
    held,
    hold,
    pod_of,
    pod_world,
    records,
)
from tests.workflows.shop import buy, settled
from tests.world import Providers, World
from workflows.engine.start import workflow_id
from workflows.names import LIFE, life_id
from workflows.queues import STORIES

BOTH = pytest.mark.parametrize("item", [MINI, NANO])


async def done(world: World, what: Any, pod: CloudPod, *given: Any, **more: Any) -> Job:
    """The job when it has succeeded."""
    job = await world.ended(await ask(world, what, pod, *given, **more))
    assert job.status == JobStatus.SUCCEEDED, job
    return job


async def now(world: World, pod: CloudPod) -> CloudPod:
    return await world.read(CloudPod, pod.id)


def config(world: World, pod: CloudPod) -> dict[str, Any]:
    guest = world.providers.proxmox.cluster.guest(pod.vmid)
    return dict(guest.config)


@BOTH
async def test_suspended_it_stands_still_and_resumed_it_answers(
    pods: World, item: tuple[str, str]
) -> None:
    pod = await a_pod(pods, item)
    why = SuspensionReason.TENANT_REQUEST

    await done(pods, service.suspend, pod, reason=why)

    pod = await now(pods, pod)
    assert (pod.status, pod.suspended_for) == (ServiceStatus.SUSPENDED, why)
    (guest,) = (await guests(pods)).values()
    assert guest["status"] == pod.seen == "stopped"

    await done(pods, service.resume, pod)

    pod = await now(pods, pod)
    assert (pod.status, pod.suspended_for) == (ServiceStatus.ACTIVE, None)
    (guest,) = (await guests(pods)).values()
    assert guest["status"] == pod.seen == "running"


async def test_only_who_has_the_reason_lifts_a_suspension(pods: World) -> None:
    pod = await a_pod(pods)
    with pytest.raises(Denied):
        await ask(pods, service.suspend, pod, reason=SuspensionReason.ABUSE)
    async with pods.db.platform() as session:
        row = await session.get_one(CloudPod, pod.id)
        row.suspend(SuspensionReason.NON_PAYMENT)
        await session.commit()

    with pytest.raises(Denied):
        await ask(pods, service.resume, pod)


@BOTH
async def test_it_grows_and_its_memory_shrinks_again(
    pods: World, item: tuple[str, str]
) -> None:
    pod = await a_pod(pods, item)
    size = {"cores": 4, "memory": 4096, "disk": pod.disk + 10}

    await done(pods, service.resize, pod, **size)

    seen = config(pods, pod)
    disk = seen["scsi0" if item == MINI else "rootfs"]
    assert (int(seen["cores"]), int(seen["memory"])) == (4, 4096)
    assert f"size={size['disk']}G" in disk
    await done(pods, service.resize, pod, memory=1024)
    seen = config(pods, pod)
    assert (int(seen["cores"]), int(seen["memory"])) == (4, 1024)
    assert (await now(pods, pod)).memory == 1024


async def test_a_disk_does_not_shrink_and_the_answer_says_why(pods: World) -> None:
    pod = await a_pod(pods)

    with pytest.raises(Invalid, match="cannot shrink") as refused:
        await ask(pods, service.resize, pod, disk=pod.disk - 1)

    assert refused.value.details["field"] == "diskGb"


async def test_a_second_resize_is_refused_with_the_first_ones_state(
    pods: World,
) -> None:
    pod = await a_pod(pods)
    await pods.fault("proxmox", hold("task resize"))
    first = await ask(pods, service.resize, pod, disk=pod.disk + 5)

    with pytest.raises(Busy) as refused:
        await ask(pods, service.resize, pod, disk=pod.disk + 9)

    assert refused.value.details["job_id"] == str(first.id)
    assert refused.value.details["status"] in ("pending", "running")
    await pods.fault("proxmox")
    assert (await pods.ended(first)).status == JobStatus.SUCCEEDED


async def test_the_life_itself_refuses_a_second_one_of_a_kind(pods: World) -> None:
    pod = await a_pod(pods)
    await pods.fault("proxmox", hold("task resize"))
    first = await ask(pods, service.resize, pod, disk=pod.disk + 5)
    life = pods.client.get_workflow_handle(life_id(pod.id))

    async def taken() -> bool:
        try:
            return bool(await life.query("acts"))
        except Exception:  # noqa: BLE001 - it is not there yet
            return False

    await pods.until(taken, bool)
    other = Job(tenant_id=pod.tenant_id, kind=JobKind.CLOUDPOD_RESIZE)
    ref = JobRef(other.id, pod.tenant_id, pod.id, JobKind.CLOUDPOD_RESIZE)

    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await life.execute_update("take", ref)

    assert "is under way" in str(refused.value.cause)
    await pods.fault("proxmox")
    await pods.ended(first)


async def test_acts_are_done_in_the_order_of_asking(pods: World) -> None:
    pod = await a_pod(pods)
    delays = {"delays": {"task vzsnapshot": 1}}
    await pods.control("proxmox", "PUT", "settings", json=delays)
    before = len(await pods.effects("proxmox"))

    asked = [
        await ask(pods, service.save, pod, SaveKind.SNAPSHOT, name="first"),
        await ask(pods, service.resize, pod, disk=pod.disk + 5),
        await ask(pods, service.suspend, pod, reason=SuspensionReason.TENANT_REQUEST),
    ]
    for job in asked:
        assert (await pods.ended(job)).status == JobStatus.SUCCEEDED

    effects = [effect for effect, _ in (await pods.effects("proxmox"))[before:]]
    told = [e for e in effects if e in ("snapshot.made", "guest.stopped")]
    assert told == ["snapshot.made", "guest.stopped"]
    started = [(await pods.read(Job, job.id)).started_at for job in asked]
    assert started == sorted(started, key=str)


@BOTH
async def test_a_snapshot_and_a_backup_bring_back_what_they_saw(
    pods: World, item: tuple[str, str]
) -> None:
    pod = await a_pod(pods, item)
    cluster = pods.providers.proxmox.cluster
    for kind, back in (
        (SaveKind.SNAPSHOT, service.go_back),
        (SaveKind.BACKUP, service.go_back),
    ):
        async with pods.db.platform() as session:
            _, job, save = await service.save(
                session, pods.client, OPERATOR, pod.id, kind
            )
        assert (await pods.ended(job)).status == JobStatus.SUCCEEDED
        cluster.guest(pod.vmid).config["nameserver"] = "203.0.113.53"

        await done(pods, back, pod, save.id, kind)

        assert "nameserver" not in config(pods, pod)
        assert cluster.guest(pod.vmid).status == "running"


@BOTH
async def test_what_is_brought_back_has_todays_size_and_starts_with_its_node(
    pods: World, item: tuple[str, str]
) -> None:
    pod = await a_pod(pods, item)
    small = {"cores": pod.cores, "memory": pod.memory}
    await done(pods, service.resize, pod, cores=4, memory=8192)
    await done(pods, service.save, pod, SaveKind.SNAPSHOT)
    await done(pods, service.suspend, pod, reason=SuspensionReason.TENANT_REQUEST)
    await done(pods, service.save, pod, SaveKind.BACKUP)
    await done(pods, service.resume, pod)
    await done(pods, service.resize, pod, **small, disk=pod.disk + 5)
    drive = "scsi0" if item == MINI else "rootfs"
    before = config(pods, pod)
    wanted = {key: before[key] for key in ("cores", "memory", "onboot", "tags")}
    assert (int(wanted["memory"]), int(wanted["onboot"])) == (pod.memory, 1)

    for kind in (SaveKind.SNAPSHOT, SaveKind.BACKUP):
        async with pods.db.platform() as session:
            (save,) = await cloudpods.saves(session, pod.id, kind)
        await done(pods, service.go_back, pod, save.id, kind)

        seen = config(pods, pod)
        assert {key: seen[key] for key in wanted} == wanted
        assert f"size={pod.disk + 5}G" in seen[drive]


async def test_a_save_that_came_to_nothing_leaves_its_name(pods: World) -> None:
    pod = await a_pod(pods)
    for kind, op in (
        (SaveKind.SNAPSHOT, "POST /nodes/{node}/lxc/{vmid}/snapshot"),
        (SaveKind.BACKUP, "POST /nodes/{node}/vzdump"),
    ):
        refused = {"kind": "fail", "op": op, "times": 1000, "status": 403}
        await pods.fault("proxmox", refused)
        given = (pods.client, OPERATOR, pod.id, kind)
        async with pods.db.platform() as session:
            _, job, first = await service.save(session, *given, name="nightly")
        await abort_item(pods, await pods.parked(job))
        assert (await pods.ended(job)).status == JobStatus.FAILED
        await pods.fault("proxmox")

        async with pods.db.platform() as session:
            _, job, second = await service.save(session, *given, name="nightly")

        assert (await pods.ended(job)).status == JobStatus.SUCCEEDED
        async with pods.db.platform() as session:
            kept = await cloudpods.saves(session, pod.id, kind)
        assert {one.id: one.status for one in kept} == {
            first.id: BackupStatus.FAILED,
            second.id: BackupStatus.STORED,
        }


ANEW = ("rebuild", "restore", "move", "repair")


async def made_anew(pods: World, pod: CloudPod, how: str) -> None:
    """Its guest was lost and is made again, from a backup or its template."""
    if how == "rebuild":
        await done(pods, service.rebuild, pod)
    elif how == "restore":
        async with pods.db.platform() as session:
            (backup,) = await cloudpods.saves(session, pod.id, SaveKind.BACKUP)
        await done(pods, service.go_back, pod, backup.id, SaveKind.BACKUP)
    elif how == "move":
        await pods.fault("proxmox", REFUSED)
        move = await pods.ended(await a_move(pods, pod))
        assert move.status == JobStatus.SUCCEEDED, move
    else:
        await lose(pods, pod)
        await done(pods, service.repair, pod)


async def lose(pods: World, pod: CloudPod) -> None:
    """Its guest is gone, and we have noticed."""
    cluster = pods.providers.proxmox.cluster
    cluster.vms.remove(cluster.guest(pod.vmid))
    async with pods.db.platform() as session:
        (await session.get_one(CloudPod, pod.id)).drift = Drift.GONE
        await session.commit()


@pytest.mark.parametrize("how", ANEW)
async def test_a_guest_that_is_made_anew_is_behind_its_firewall(
    pods: World, how: str
) -> None:
    pod = await a_pod(pods, MINI)
    await done(pods, service.save, pod, SaveKind.BACKUP)
    cluster = pods.providers.proxmox.cluster
    before = copy.deepcopy(cluster.firewall_config("vm", vmid=pod.vmid))
    # A token that may not set it is brought none by a backup.
    cluster._fw()["guests"].clear()

    await made_anew(pods, pod, how)

    assert before["options"]["ipfilter"] == 1
    assert [one["cidr"] for one in before["ipset"]["ipfilter-net0"]] == [pod.ipv4]
    assert cluster.firewall_config("vm", vmid=pod.vmid) == before


@pytest.mark.parametrize("lost_by", ANEW)
async def test_snapshots_that_go_with_their_guest_are_told_as_kept_no_more(
    pods: World, lost_by: str
) -> None:
    pod = await a_pod(pods, MINI)
    await done(pods, service.save, pod, SaveKind.BACKUP)
    await done(pods, service.save, pod, SaveKind.SNAPSHOT, name="nightly")

    await made_anew(pods, pod, lost_by)

    async with pods.db.platform() as session:
        (lost,) = await cloudpods.saves(session, pod.id, SaveKind.SNAPSHOT)
    with pytest.raises(WrongState):
        await ask(pods, service.go_back, pod, lost.id, SaveKind.SNAPSHOT)
    await done(pods, service.save, pod, SaveKind.SNAPSHOT, name="nightly")


async def test_a_resize_that_is_taken_back_keeps_no_disk_that_has_not_grown(
    pods: World,
) -> None:
    pod = await a_pod(pods)
    op = "PUT /nodes/{node}/lxc/{vmid}/resize"
    refused = {"kind": "fail", "op": op, "times": 1000, "status": 403}
    await pods.fault("proxmox", refused)
    job = await ask(pods, service.resize, pod, memory=4096, disk=pod.disk + 5)

    await abort_item(pods, await pods.parked(job))

    assert (await pods.ended(job)).status == JobStatus.FAILED
    again = await now(pods, pod)
    assert (again.memory, again.disk) == (pod.memory, pod.disk)
    assert int(config(pods, pod)["memory"]) == pod.memory


async def test_rebuilt_it_is_another_guest_with_the_same_address(pods: World) -> None:
    pod = await a_pod(pods)
    pods.providers.proxmox.cluster.guest(pod.vmid).config["nameserver"] = "192.0.2.53"

    await done(pods, service.rebuild, pod)

    again = await now(pods, pod)
    assert (again.vmid, again.ipv4) == (pod.vmid, pod.ipv4)
    assert "nameserver" not in config(pods, pod)
    effects = Counter(effect for effect, _ in await pods.effects("proxmox"))
    assert (effects["guest.created"], effects["guest.removed"]) == (2, 1)


async def test_a_new_name_leaves_the_host_name_also_after_its_next_start(
    pods: World,
) -> None:
    pod = await a_pod(pods, MINI)

    await done(pods, service.rename, pod, name="Shop-2")

    again = await now(pods, pod)
    assert (again.name, again.hostname) == ("shop-2", pod.hostname)
    assert config(pods, pod)["name"] == pod.hostname.partition(".")[0]


async def test_a_removal_can_be_called_off_while_it_is_held(
    simulators: Providers, db: Database, temporal: WorkflowEnvironment
) -> None:
    async with pod_world(simulators, db, temporal, cloudpod_hold_seconds=600.0) as pods:
        pod = await a_pod(pods)
        job = await ask(pods, service.delete, pod)

        held = await pods.until(
            lambda: now(pods, pod), lambda one: one.held_until is not None
        )

        assert held.status == ServiceStatus.TERMINATING
        (guest,) = (await guests(pods)).values()
        assert guest["status"] == "stopped"
        assert not int(config(pods, pod)["onboot"])
        await abort_item(pods, job)
        assert (await pods.ended(job)).status == JobStatus.FAILED
        again = await now(pods, pod)
        assert (again.status, again.held_until) == (ServiceStatus.ACTIVE, None)
        (guest,) = (await guests(pods)).values()
        assert guest["status"] == "running"
        assert int(config(pods, pod)["onboot"])
        assert len(await records(pods)) == 2


async def test_removed_it_leaves_its_last_backup(pods: World) -> None:
    pod = await a_pod(pods)

    await done(pods, service.delete, pod)

    async with pods.db.platform() as session:
        (last,) = await service.cloudpods.saves(session, pod.id, SaveKind.BACKUP)
    assert last.volid
    effects = [effect for effect, _ in await pods.effects("proxmox")]
    assert effects.index("backup.made") < effects.index("guest.removed")
    assert await guests(pods) == {}
    assert await records(pods) == set()
    life = pods.client.get_workflow_handle(life_id(pod.id))

    async def status() -> WorkflowExecutionStatus | None:
        return (await life.describe()).status

    await pods.until(status, lambda now: now is WorkflowExecutionStatus.COMPLETED)


async def test_removed_while_it_is_built_nothing_is_left(pods: World) -> None:
    await pods.fault("proxmox", hold("task qmclone"))
    order = await buy(pods, MINI, price=999)
    await held(pods, "task qmclone")
    pod = await pod_of(pods, order)

    removal = await ask(pods, service.delete, pod)

    line = (await pods.jobs(order))[JobKind.CLOUDPOD_PROVISION]
    [abort] = await rows(pods, Decision, job_id=line.id)
    await pods.until(
        lambda: decision(pods, abort.id),
        lambda one: one.status == DecisionStatus.DELIVERED,
    )
    await pods.fault("proxmox")
    assert (await pods.ended(removal)).status == JobStatus.SUCCEEDED

    _, order = await settled(pods, order)
    assert order.status == OrderStatus.FAILED
    assert (await now(pods, pod)).status == ServiceStatus.TERMINATED
    assert await guests(pods) == {}
    assert await records(pods) == set()


async def test_a_year_without_an_act_adds_no_event_to_a_life(pods: World) -> None:
    pod = await a_pod(pods)
    life = pods.client.get_workflow_handle(life_id(pod.id))

    async def resting() -> bool:
        return await life.query("acts") == []

    lengths = []
    for number in range(3):
        await done(pods, service.rename, pod, name=f"name-{number}")
        await pods.until(resting, bool)
        lengths.append((await life.describe()).history_length)

    events = list((await life.fetch_history()).events)
    begun = events[0].workflow_execution_started_event_attributes
    now_ = (await life.describe()).raw_description
    # A year is what could happen in it: none of these is there, however long it waits.
    clocks = [one for one in events if "TIMER" in EventType.Name(one.event_type)]
    ends = (begun.workflow_execution_timeout, begun.workflow_run_timeout)
    woken_by = [*now_.pending_activities, *now_.pending_children, *clocks]
    assert woken_by == []
    assert [one.ToSeconds() for one in ends] == [0, 0]
    assert not now_.HasField("pending_workflow_task")
    assert len(events) == lengths[-1] < 100
    # And the busiest history ends long before Temporal complains (at 4,096 events).
    of_an_act = max(after - before for before, after in pairwise(lengths))
    assert lengths[0] + ACTS * of_an_act < 4096


async def test_a_busy_life_continues_as_new_and_an_idle_one_adds_no_event(
    pods: World,
) -> None:
    pod = await a_pod(pods, MINI)
    await pods.client.start_workflow(
        LIFE, Life(pod.id, acts=2), id=life_id(pod.id), task_queue=STORIES
    )
    life = pods.client.get_workflow_handle(life_id(pod.id))
    first = (await life.describe()).run_id

    for number in range(5):
        await done(pods, service.rename, pod, name=f"name-{number}")

    async def resting() -> bool:
        return await life.query("acts") == []

    await pods.until(resting, bool)
    described = await life.describe()
    assert described.run_id != first
    assert (await now(pods, pod)).name == "name-4"
    length = described.history_length
    assert length < 40
    job = Job(tenant_id=pod.tenant_id, kind=JobKind.CLOUDPOD_RENAME)
    ref = JobRef(job.id, pod.tenant_id, pod.id, JobKind.CLOUDPOD_RENAME)
    assert workflow_id(ref) not in await life.query("acts")
    assert (await life.describe()).history_length == length
