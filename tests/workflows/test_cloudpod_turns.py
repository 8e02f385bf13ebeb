"""An act looks at the CloudPod again when its turn has come, and whoever suspends it
decides who lifts that."""

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from temporalio.testing import WorkflowEnvironment

from api.services import cloudpods as service
from models.base import utc_now
from models.cloudpods import CloudPod
from models.database import Database
from models.errors import Denied, WrongState
from models.jobs import Job
from models.queries import cloudpods, jobs
from models.states import JobKind, JobStatus, SaveKind, ServiceStatus, SuspensionReason
from models.users import Role
from tests.workflows.operator import OPERATOR, abort_item
from tests.workflows.pods import MINI, SILENT, a_pod, ask, guests, hold, pod_world
from tests.world import Providers, World
from workflows.names import life_id

PLATFORM = replace(OPERATOR, roles=frozenset({Role.SUPER_ADMIN}))
ABUSE, UNPAID = SuspensionReason.ABUSE, SuspensionReason.NON_PAYMENT
OWN = SuspensionReason.TENANT_REQUEST


async def done(world: World, what: Any, pod: CloudPod, *given: Any, **more: Any) -> Job:
    job = await world.ended(await ask(world, what, pod, *given, **more), within=120)
    assert job.status == JobStatus.SUCCEEDED, job
    return job


async def state(world: World, pod: CloudPod) -> tuple[str, str | None, str]:
    """What its row says, and how its guest is."""
    row = await world.read(CloudPod, pod.id)
    (guest,) = (await guests(world)).values()
    return row.status, row.suspended_for, guest["status"]


async def test_what_stands_behind_a_suspension_is_not_done(pods: World) -> None:
    pod = await a_pod(pods)
    saved = {}
    for kind in SaveKind:
        await done(pods, service.save, pod, kind)
        async with pods.db.platform() as session:
            (row,) = await cloudpods.saves(session, pod.id, kind)
        saved[kind] = row.id
    await pods.fault("proxmox", hold("task vzstop"))
    suspension = await ask(pods, service.suspend, pod, reason=ABUSE, actor=PLATFORM)

    behind = [
        await ask(pods, service.restart, pod),
        await ask(pods, service.resize, pod, memory=4096),
        await ask(pods, service.rename, pod, name="other"),
        await ask(pods, service.save, pod, SaveKind.SNAPSHOT),
        await ask(
            pods, service.go_back, pod, saved[SaveKind.SNAPSHOT], SaveKind.SNAPSHOT
        ),
        await ask(pods, service.go_back, pod, saved[SaveKind.BACKUP], SaveKind.BACKUP),
        await ask(pods, service.rebuild, pod),
    ]
    await pods.fault("proxmox")

    ends = [await pods.ended(job, within=120) for job in behind]
    assert {(job.status, job.message) for job in ends} == {
        (
            JobStatus.CANCELLED,
            "the CloudPod was suspended for abuse when its turn came; nothing was done",
        )
    }
    assert (await pods.ended(suspension)).status == JobStatus.SUCCEEDED
    assert await state(pods, pod) == (ServiceStatus.SUSPENDED, ABUSE, "stopped")
    effects = [effect for effect, _ in await pods.effects("proxmox")]
    assert effects.index("guest.stopped") == len(effects) - 1, effects
    left = await pods.read(CloudPod, pod.id)
    assert (left.name, left.memory) == (pod.name, pod.memory)


async def test_a_rollback_whose_snapshot_went_with_its_guest_is_not_done(
    pods: World,
) -> None:
    pod = await a_pod(pods)
    await done(pods, service.save, pod, SaveKind.SNAPSHOT, name="before")
    async with pods.db.platform() as session:
        (kept,) = await cloudpods.saves(session, pod.id, SaveKind.SNAPSHOT)
    await pods.fault("proxmox", hold("task vzstop"))
    rebuild = await ask(pods, service.rebuild, pod)

    back = await ask(pods, service.go_back, pod, kept.id, SaveKind.SNAPSHOT)
    await pods.fault("proxmox")

    back = await pods.ended(back, within=120)
    assert (back.status, back.message) == (
        JobStatus.CANCELLED,
        "the snapshot before was kept no more when its turn came; nothing was done",
    )
    assert (await pods.ended(rebuild)).status == JobStatus.SUCCEEDED


async def test_who_asked_first_is_first_also_when_told_of_last(pods: World) -> None:
    pod = await a_pod(pods)
    # What comes in bulk is swept after the rest, so the sweep sees the later one first.
    restart = _asked(pod, JobKind.CLOUDPOD_RESTART, minutes_ago=1, batch=True)
    rename = _asked(pod, JobKind.CLOUDPOD_RENAME, input={"name": "other"})
    async with pods.db.platform() as session:
        session.add_all([rename, restart])
        await session.commit()

    ends = [await pods.ended(job) for job in (restart, rename)]

    assert [job.status for job in ends] == [JobStatus.SUCCEEDED] * 2
    begun = [job.started_at for job in ends]
    assert begun == sorted(begun, key=str)


async def test_what_a_life_was_handed_goes_on_in_its_turn_when_that_is_ended(
    pods: World,
) -> None:
    pod = await a_pod(pods, MINI)
    await pods.fault("proxmox", SILENT)
    first = await pods.parked(await ask(pods, service.restart, pod))
    behind = await ask(pods, partial(service.rename, name="other"), pod)
    life = pods.client.get_workflow_handle(life_id(pod.id))

    async def acts() -> list[str]:
        return list(await life.query("acts"))

    await pods.until(acts, lambda known: behind.workflow_id in known)

    await life.terminate("by hand")

    await pods.until(acts, lambda known: known == [behind.workflow_id])
    await pods.until(partial(_begun, pods, behind), bool)
    await abort_item(pods, first)
    first, behind = await pods.ended(first), await pods.ended(behind)
    assert (first.status, behind.status) == (JobStatus.FAILED, JobStatus.SUCCEEDED)
    assert str(behind.started_at) > str(first.ended_at)


async def _begun(world: World, job: Job) -> bool:
    """Whether its run has been at its first step."""
    async with world.db.platform() as session:
        return bool(await jobs.steps(session, job.id))


def _asked(pod: CloudPod, kind: JobKind, *, minutes_ago: int = 0, **more: Any) -> Job:
    return Job(
        tenant_id=pod.tenant_id,
        kind=kind,
        subject_id=pod.id,
        exclusive=False,
        created_at=utc_now() - timedelta(minutes=minutes_ago),
        **more,
    )


async def test_the_platform_replaces_a_reason_and_only_it_lifts_the_new_one(
    pods: World,
) -> None:
    pod = await a_pod(pods)
    await done(pods, service.suspend, pod, reason=OWN)

    await done(pods, service.suspend, pod, reason=UNPAID, actor=PLATFORM)

    assert await state(pods, pod) == (ServiceStatus.SUSPENDED, UNPAID, "stopped")
    with pytest.raises(Denied):
        await ask(pods, service.resume, pod)
    with pytest.raises(WrongState, match="non_payment already"):
        await ask(pods, service.suspend, pod, reason=OWN)
    with pytest.raises(WrongState, match="non_payment already"):
        await ask(pods, service.suspend, pod, reason=UNPAID, actor=PLATFORM)
    await done(pods, service.resume, pod, actor=PLATFORM)
    assert await state(pods, pod) == (ServiceStatus.ACTIVE, None, "running")


async def test_a_lift_behind_a_stronger_reason_is_not_done(pods: World) -> None:
    pod = await a_pod(pods)
    await done(pods, service.suspend, pod, reason=OWN)
    await pods.fault("proxmox", hold("task vzdump"))
    before = await ask(pods, service.save, pod, SaveKind.BACKUP)
    stronger = await ask(pods, service.suspend, pod, reason=ABUSE, actor=PLATFORM)

    lift = await ask(pods, service.resume, pod)
    await pods.fault("proxmox")
    lift = await pods.ended(lift, within=120)

    assert (await pods.ended(before)).status == JobStatus.SUCCEEDED
    assert (await pods.ended(stronger)).status == JobStatus.SUCCEEDED
    assert lift.status == JobStatus.CANCELLED
    assert "suspended for abuse, which others have to lift" in str(lift.message)
    assert await state(pods, pod) == (ServiceStatus.SUSPENDED, ABUSE, "stopped")


async def test_a_removal_that_is_called_off_leaves_a_suspension_as_it_was(
    simulators: Providers, db: Database, temporal: WorkflowEnvironment
) -> None:
    async with pod_world(simulators, db, temporal, cloudpod_hold_seconds=600.0) as pods:
        pod = await a_pod(pods)
        await done(pods, service.suspend, pod, reason=UNPAID, actor=PLATFORM)
        removal = await ask(pods, service.delete, pod)
        await pods.until(
            lambda: pods.read(CloudPod, pod.id), lambda one: one.held_until is not None
        )

        await abort_item(pods, removal)

        assert (await pods.ended(removal)).status == JobStatus.FAILED
        assert await state(pods, pod) == (ServiceStatus.SUSPENDED, UNPAID, "stopped")
        row = await pods.read(CloudPod, pod.id)
        assert row.held_until is None
