"""Backups, step by step: what is kept comes back, and every step may run twice."""

import os
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from simulators.faults import Script
from temporalio.exceptions import ApplicationError

from activities.backups import TickCall
from activities.calls import StepCall
from activities.errors import GiveUp, NotYet, ProviderDown, ProviderRejected
from models.backups import Backup
from models.base import utc_now
from models.jobs import Job
from models.queries import backups
from models.states import (
    BackupStatus,
    EffectState,
    JobKind,
    JobStatus,
    Reason,
    ServiceStatus,
)
from models.subscriptions import Subscription
from models.tenants import MIGRAHOSTING
from tests.activities.conftest import EARLY, Bench
from tests.providers.test_cloudpanel import furnish, tree_of


async def test_an_archive_restored_into_an_empty_site_is_equal_byte_for_byte(
    bench: Bench,
) -> None:
    furnish(bench.docroot)
    before = tree_of(bench.docroot)
    backup = await bench.back_up()
    await bench.panel.delete_site(
        bench.website.domain, site_user=bench.website.site_user
    )
    await bench.create_site()
    assert tree_of(bench.docroot) != before

    call = await bench.restore(backup)
    await bench.do.restore_site(call)
    await bench.do.probe_restored(call)

    assert tree_of(bench.docroot) == before
    [job] = await bench.rows(Job, id=call.job_id)
    assert job.status == JobStatus.SUCCEEDED


async def test_a_backup_leaves_the_host_sealed_and_is_kept_as_long_as_the_plan_says(
    bench: Bench,
) -> None:
    secret = os.urandom(64)
    (bench.docroot / "secret.bin").write_bytes(secret)
    await bench.change(bench.plan, days=7)

    backup = await bench.back_up()

    [name] = bench.stored()
    assert name == backup.archive
    assert name == (
        f"{bench.website.id}/20261122T010203Z-{str(backup.job_id)[:8]}.tar.enc"
    )
    lying = (bench.store.tree / "archives" / name).read_bytes()
    assert secret not in lying
    assert backup.status == BackupStatus.STORED
    assert backup.size == len(lying)
    assert backup.stored_at is not None
    assert backup.expires_at == backup.stored_at + timedelta(days=7)
    [job] = await bench.rows(Job, id=backup.job_id)
    assert job.status == JobStatus.SUCCEEDED


async def test_every_step_of_a_backup_twice_leaves_the_same_ledger(
    bench: Bench,
) -> None:
    call = await bench.job(JobKind.WEBSITE_BACKUP)

    for step in (
        bench.do.archive_site,
        bench.do.keep_backup,
        bench.do.expire_backups,
    ):
        await step(call)
        await step(call)

    assert bench.happened() == ["archive.stored"]
    effect = await bench.effect("archive")
    assert effect.state == EffectState.PRESENT
    assert effect.remote_id == (await bench.backup_of(call)).archive


@pytest.mark.parametrize(
    ("kind", "op"),
    [
        ("fail", "sftp write"),
        ("fail", "sftp rename"),
        ("execute_then_fail", "sftp rename"),
    ],
)
async def test_a_store_that_fails_before_or_after_it_stored_stores_once(
    bench: Bench, kind: str, op: str
) -> None:
    call = await bench.job(JobKind.WEBSITE_BACKUP)
    bench.store.store.set_faults([Script(kind, op, times=1)])

    with pytest.raises(ProviderDown):
        await bench.do.archive_site(call)
    await bench.do.archive_site(call)

    assert await bench.do.keep_backup(call)
    assert bench.happened() == ["archive.stored"]
    assert bench.stored() == [(await bench.backup_of(call)).archive]
    assert (await bench.effect("archive")).state == EffectState.PRESENT


async def test_an_archive_overwritten_by_a_late_try_is_not_kept_but_made_again(
    bench: Bench,
) -> None:
    call = await bench.job(JobKind.WEBSITE_BACKUP)
    await bench.do.archive_site(call)
    lying(bench, await bench.backup_of(call)).write_bytes(b"of another try")

    kept_at_first = await bench.do.keep_backup(call)
    await bench.do.archive_site(call)

    assert not kept_at_first
    assert await bench.do.keep_backup(call)
    await bench.do.restore_site(await bench.restore(await bench.backup_of(call)))


async def test_an_undone_backup_leaves_nothing_however_often_it_is_undone(
    bench: Bench,
) -> None:
    call = await bench.job(JobKind.WEBSITE_BACKUP)
    await bench.do.archive_site(call)

    await bench.do.remove_archive(call)
    await bench.do.remove_archive(call)

    assert bench.stored() == []
    assert bench.happened() == ["archive.stored", "archive.removed"]
    assert (await bench.effect("archive")).state == EffectState.REMOVED
    assert (await bench.backup_of(call)).status == BackupStatus.FAILED


async def test_undoing_a_backup_that_never_began_is_fine(bench: Bench) -> None:
    await bench.do.remove_archive(await bench.job(JobKind.WEBSITE_BACKUP))

    assert await bench.rows(Backup) == []


async def test_a_backup_that_was_undone_can_be_made_after_all(bench: Bench) -> None:
    call = await bench.job(JobKind.WEBSITE_BACKUP)
    await bench.do.archive_site(call)
    await bench.do.remove_archive(call)

    await bench.do.archive_site(call)

    assert await bench.do.keep_backup(call)
    assert (await bench.backup_of(call)).status == BackupStatus.STORED


async def test_what_is_past_its_time_is_deleted_also_of_a_website_that_is_gone(
    bench: Bench,
) -> None:
    old, of_the_gone, recent = [await bench.back_up() for _ in range(3)]
    long_ago = utc_now() - timedelta(days=1)
    await bench.change(old, expires_at=long_ago)
    await bench.change(of_the_gone, expires_at=long_ago, website_id=uuid4())

    newest = await bench.back_up()

    assert bench.stored() == sorted([recent.archive, newest.archive])
    for backup in (old, of_the_gone):
        assert (await bench.fresh(backup)).status == BackupStatus.EXPIRED


def lying(bench: Bench, backup: Backup) -> Path:
    return bench.store.tree / "archives" / backup.archive


def flip(archive: Path) -> None:
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)


def truncate(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [flip, truncate])
async def test_a_damaged_archive_is_rejected_before_the_site_is_touched(
    bench: Bench, damage: Callable[[Path], None]
) -> None:
    (bench.docroot / "page.html").write_text("as archived")
    backup = await bench.back_up()
    (bench.docroot / "page.html").write_text("of today")
    damage(lying(bench, backup))

    with pytest.raises(ProviderRejected) as refused:
        await bench.do.restore_site(await bench.restore(backup))

    assert refused.value.code == "damaged"
    assert (bench.docroot / "page.html").read_text() == "of today"


async def test_an_archive_put_in_anothers_place_is_rejected(bench: Bench) -> None:
    backup, other = await bench.back_up(), await bench.back_up()
    shutil.copyfile(lying(bench, other), lying(bench, backup))
    call = await bench.restore(backup)

    with pytest.raises(ProviderRejected):
        await bench.do.restore_site(call)

    # Nor does it open when whoever swapped them could write our rows, too.
    await bench.change(backup, sha256=other.sha256, content_sha256=other.content_sha256)
    with pytest.raises(ProviderRejected) as refused:
        await bench.do.restore_site(call)
    assert refused.value.code == "damaged"


async def test_an_archive_whose_key_is_missing_says_which(
    bench: Bench,
) -> None:
    backup = await bench.back_up()
    await bench.change(backup, key_version="v0")

    with pytest.raises(GiveUp, match="key v0") as given_up:
        await bench.do.restore_site(await bench.restore(backup))

    assert given_up.value.reason is Reason.INVALID


async def test_restoring_twice_is_restoring_once(bench: Bench) -> None:
    furnish(bench.docroot)
    before = tree_of(bench.docroot)
    call = await bench.restore(await bench.back_up())

    await bench.do.restore_site(call)
    await bench.do.restore_site(call)

    assert tree_of(bench.docroot) == before


async def test_only_a_stored_backup_of_this_website_is_restored(bench: Bench) -> None:
    backup = await bench.back_up()
    await bench.change(backup, website_id=uuid4())
    with pytest.raises(GiveUp, match="no such backup"):
        await bench.do.restore_site(await bench.restore(backup))

    await bench.change(backup, website_id=bench.website.id, status=BackupStatus.EXPIRED)
    with pytest.raises(GiveUp, match="expired"):
        await bench.do.restore_site(await bench.restore(backup))


async def enabled(bench: Bench) -> StepCall:
    call = await bench.job(JobKind.BACKUPS_ENABLE, bench.plan.id)
    for step in (bench.do.enable_schedule, bench.do.confirm_schedule):
        await step(call)
        await step(call)
    return call


async def test_enabling_backups_schedules_them_and_starts_the_subscription(
    bench: Bench,
) -> None:
    call = await enabled(bench)

    assert bench.schedules.standing == {bench.website.id}
    effect = await bench.effect("schedule")
    assert (effect.state, effect.provider) == (EffectState.PRESENT, "temporal")
    assert (await bench.fresh(bench.plan)).status == ServiceStatus.ACTIVE
    [added] = await bench.rows(Subscription, id=bench.plan.subscription_id)
    assert added.status == ServiceStatus.ACTIVE
    [job] = await bench.rows(Job, id=call.job_id)
    assert job.status == JobStatus.SUCCEEDED


async def test_a_plan_that_is_told_late_that_it_is_enabled_stays_ended(
    bench: Bench,
) -> None:
    enabling = await enabled(bench)
    await bench.do.stop_backups(await bench.job(JobKind.WEBSITE_DELETE))
    await bench.change(bench.plan, status=ServiceStatus.TERMINATED)

    # Its worker died after the commit and before Temporal heard of it.
    await bench.do.confirm_schedule(enabling)

    assert (await bench.fresh(bench.plan)).status == ServiceStatus.TERMINATED


async def test_a_plan_whose_schedule_is_not_there_is_not_called_active(
    bench: Bench,
) -> None:
    call = await bench.job(JobKind.BACKUPS_ENABLE, bench.plan.id)
    await bench.do.enable_schedule(call)
    await bench.schedules.remove(bench.website.id)

    with pytest.raises(ProviderDown):
        await bench.do.confirm_schedule(call)

    assert (await bench.fresh(bench.plan)).status == ServiceStatus.PENDING


async def test_a_website_that_is_not_active_gets_no_schedule(bench: Bench) -> None:
    await bench.change(bench.website, status=ServiceStatus.SUSPENDED)

    with pytest.raises(GiveUp, match="not active"):
        await bench.do.enable_schedule(
            await bench.job(JobKind.BACKUPS_ENABLE, bench.plan.id)
        )

    assert bench.schedules.standing == set()


async def test_a_website_that_is_not_live_yet_is_waited_for(bench: Bench) -> None:
    """People may retry the lost run of an add-on before that of its website."""
    await bench.change(bench.website, status=ServiceStatus.PROVISIONING)
    call = await bench.job(JobKind.BACKUPS_ENABLE, bench.plan.id)

    with pytest.raises(NotYet):
        await bench.do.enable_schedule(call)
    assert bench.schedules.standing == set()

    await bench.change(bench.website, status=ServiceStatus.ACTIVE)
    await bench.do.enable_schedule(call)
    assert bench.schedules.standing == {bench.website.id}


async def test_undone_backups_have_failed_and_can_be_enabled_after_all(
    bench: Bench,
) -> None:
    call = await enabled(bench)

    await bench.do.disable_schedule(call)
    await bench.do.disable_schedule(call)

    assert bench.schedules.standing == set()
    assert (await bench.effect("schedule")).state == EffectState.REMOVED
    assert (await bench.fresh(bench.plan)).status == ServiceStatus.FAILED
    [added] = await bench.rows(Subscription, id=bench.plan.subscription_id)
    assert added.status == ServiceStatus.FAILED

    await enabled(bench)
    assert (await bench.fresh(bench.plan)).status == ServiceStatus.ACTIVE


async def test_deleting_a_website_stops_its_schedule_and_keeps_its_archives(
    bench: Bench,
) -> None:
    await enabled(bench)
    backup = await bench.back_up()
    call = await bench.job(JobKind.WEBSITE_DELETE)

    await bench.do.stop_backups(call)
    await bench.do.stop_backups(call)

    assert bench.schedules.standing == set()
    assert (await bench.effect("schedule")).state == EffectState.REMOVED
    assert bench.stored() == [backup.archive]


async def test_a_website_without_a_plan_has_no_backups_to_stop(bench: Bench) -> None:
    await bench.change(bench.plan, website_id=None)

    await bench.do.stop_backups(await bench.job(JobKind.WEBSITE_DELETE))


def due(bench: Bench) -> TickCall:
    return TickCall(MIGRAHOSTING, bench.website.id, EARLY)


async def test_a_due_backup_is_one_pending_job_however_often_it_is_asked_for(
    bench: Bench,
) -> None:
    await bench.do.request_backup(due(bench))
    await bench.do.request_backup(due(bench))

    [job] = await bench.rows(Job, kind=JobKind.WEBSITE_BACKUP)
    assert (job.status, job.subject_id) == (JobStatus.PENDING, bench.website.id)
    assert job.exclusive
    assert job.batch


async def test_a_website_that_is_not_active_is_passed_over(bench: Bench) -> None:
    await bench.change(bench.website, status=ServiceStatus.SUSPENDED)

    await bench.do.request_backup(due(bench))

    assert await bench.rows(Job) == []


async def test_a_busy_website_is_asked_again_and_backed_up_when_it_is_free(
    bench: Bench,
) -> None:
    call = await bench.job(JobKind.WEBSITE_SUSPEND, exclusive=True)
    [suspending] = await bench.rows(Job, id=call.job_id)

    with pytest.raises(ApplicationError) as busy:
        await bench.do.request_backup(due(bench))

    assert busy.value.next_retry_delay is not None
    await bench.change(suspending, status=JobStatus.SUCCEEDED)
    await bench.do.request_backup(due(bench))
    assert len(await bench.rows(Job, kind=JobKind.WEBSITE_BACKUP)) == 1


async def test_what_a_person_asks_for_is_not_batch_work(bench: Bench) -> None:
    person = uuid4()
    async with bench.db.tenant(MIGRAHOSTING) as session:
        job = await backups.request(
            session, bench.website, job_id=uuid4(), requested_by=person
        )
        await session.commit()

    assert (job.batch, job.requested_by) == (False, person)


async def test_only_active_plans_must_have_their_schedule(bench: Bench) -> None:
    async with bench.db.platform() as session:
        before = await backups.active_plans(session)
    await enabled(bench)

    async with bench.db.platform() as session:
        after = await backups.active_plans(session)
    assert (list(before), [plan.id for plan in after]) == ([], [bench.plan.id])
