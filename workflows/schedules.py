"""The Temporal Schedules of daily backups: one per website, by its id."""

from dataclasses import replace
from datetime import timedelta
from typing import Final
from uuid import UUID

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleCalendarSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.service import RPCError, RPCStatusCode

from activities.backups import Daily
from workflows.engine import search
from workflows.engine.patience import TASK
from workflows.queues import STORIES

TICK: Final = "BackupTick"

# Each night, at a minute of its own between 0 and 5 o'clock UTC.
_NIGHTLY = ScheduleSpec(
    calendars=[ScheduleCalendarSpec(hour=[ScheduleRange(0)])],
    jitter=timedelta(hours=5),
)
_POLICY = SchedulePolicy(
    overlap=ScheduleOverlapPolicy.SKIP, catchup_window=timedelta(hours=1)
)


class BackupSchedules:
    """Each method may be repeated. Raises `RPCError` while Temporal is away."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def put(self, website_id: UUID, tenant_id: UUID) -> str:
        """Exactly one schedule as it should be; one that people paused stays paused.

        Returns its id.
        """
        schedule = _schedule(website_id, tenant_id)
        try:
            await self._client.create_schedule(schedule_id(website_id), schedule)
        except ScheduleAlreadyRunningError:

            def renewed(standing: ScheduleUpdateInput) -> ScheduleUpdate:
                state = standing.description.schedule.state
                return ScheduleUpdate(replace(schedule, state=state))

            handle = self._client.get_schedule_handle(schedule_id(website_id))
            await handle.update(renewed)
        return schedule_id(website_id)

    async def exists(self, website_id: UUID) -> bool:
        """Whether Temporal knows the schedule."""
        handle = self._client.get_schedule_handle(schedule_id(website_id))
        try:
            await handle.describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return False
            raise
        return True

    async def remove(self, website_id: UUID) -> None:
        """Absent counts as removed."""
        handle = self._client.get_schedule_handle(schedule_id(website_id))
        try:
            await handle.delete()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise


def schedule_id(website_id: UUID) -> str:
    """`backup:<website uuid>`; its runs are called the same, plus the time."""
    return f"backup:{website_id}"


def _schedule(website_id: UUID, tenant_id: UUID) -> Schedule:
    return Schedule(
        action=ScheduleActionStartWorkflow(
            TICK,
            Daily(tenant_id=tenant_id, website_id=website_id),
            id=schedule_id(website_id),
            task_queue=STORIES,
            task_timeout=TASK,
            typed_search_attributes=TypedSearchAttributes(
                [
                    SearchAttributePair(search.TENANT_ID, str(tenant_id)),
                    SearchAttributePair(search.SUBJECT_ID, str(website_id)),
                ]
            ),
            static_summary=f"daily backup {str(website_id)[:8]}",
        ),
        spec=_NIGHTLY,
        policy=_POLICY,
    )
