"""Backups of a website: enabled, asked for daily, made, and brought back."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy, SearchAttributeKey

with workflow.unsafe.imports_passed_through():
    from activities.backups import BackupActivities, Daily, TickCall

from workflows.engine.job import JobWorkflow, job_workflow
from workflows.engine.patience import LONG, QUICK
from workflows.engine.steps import Step
from workflows.queues import BACKUPS, HOSTING, STORIES

ENABLE_SCHEDULE = Step(
    "enable_schedule",
    "Schedule the daily backup",
    BackupActivities.enable_schedule,
    BACKUPS,
    undo=BackupActivities.disable_schedule,
    undo_summary="Remove the schedule of the daily backup",
)
CONFIRM_SCHEDULE = Step(
    "confirm_schedule",
    "Read the schedule back, then call the plan active",
    BackupActivities.confirm_schedule,
    BACKUPS,
)
ARCHIVE_SITE = Step(
    "archive_site",
    "Archive the site's files, encrypted, at the backup store",
    BackupActivities.archive_site,
    BACKUPS,
    undo=BackupActivities.remove_archive,
    undo_summary="Delete the archive at the backup store",
    time=LONG,
)
KEEP_BACKUP = Step(
    "keep_backup",
    "Read the archive back, then call it stored",
    BackupActivities.keep_backup,
    BACKUPS,
    time=LONG,
)
EXPIRE_BACKUPS = Step(
    "expire_backups",
    "Delete archives that are past their time",
    BackupActivities.expire_backups,
    BACKUPS,
    time=LONG,
)
RESTORE_SITE = Step(
    "restore_site",
    "Verify the archive and make the site's files those of it",
    BackupActivities.restore_site,
    BACKUPS,
    time=LONG,
)
PROBE_RESTORED = Step(
    "probe_restored",
    "Look at the restored site from outside",
    BackupActivities.probe_restored,
    HOSTING,
)

_DUE = SearchAttributeKey.for_datetime("TemporalScheduledStartTime")
_UNTIL_IT_IS_FREE = RetryPolicy(
    initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=1)
)


@job_workflow(name="EnableBackups")
class EnableBackups(JobWorkflow):
    """Gives an active website its daily schedule."""

    STEPS = (ENABLE_SCHEDULE, CONFIRM_SCHEDULE)


@workflow.defn(name="BackupTick")
class BackupTick:
    """What the schedule starts: asks for one backup job, when the website is free."""

    @workflow.run
    async def run(self, due: Daily) -> None:
        meant = workflow.info().typed_search_attributes.get(_DUE)
        await workflow.execute_activity_method(
            BackupActivities.request_backup,
            TickCall(
                tenant_id=due.tenant_id,
                website_id=due.website_id,
                at=meant or workflow.info().workflow_start_time,
            ),
            task_queue=STORIES,
            start_to_close_timeout=QUICK,
            retry_policy=_UNTIL_IT_IS_FREE,
            summary="Ask for the daily backup",
        )


@job_workflow(name="BackupWebsite")
class BackupWebsite(JobWorkflow):
    """Archives a website and lets go of archives past their time."""

    STEPS = (ARCHIVE_SITE, KEEP_BACKUP, EXPIRE_BACKUPS)

    async def story(self) -> None:
        await self.step(ARCHIVE_SITE)
        while not await self.step(KEEP_BACKUP):
            await self.step(ARCHIVE_SITE)
        await self.step(EXPIRE_BACKUPS)


@job_workflow(name="RestoreWebsite")
class RestoreWebsite(JobWorkflow):
    """Brings an archive back into its website."""

    STEPS = (RESTORE_SITE, PROBE_RESTORED)
