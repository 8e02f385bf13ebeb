"""The timeline, rebuilt from what Temporal remembers of a run."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import EventType, PendingActivityState
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.history.v1 import (
    ActivityTaskScheduledEventAttributes,
    HistoryEvent,
)
from temporalio.api.workflow.v1 import PendingActivityInfo

from models.jobs import Job
from models.states import JobKind, Reason, StepStatus
from models.tenants import MIGRAHOSTING
from tests.workflows import histories
from workers.progress import StepLine
from workers.reconcile import timeline

JOB = Job(
    tenant_id=MIGRAHOSTING,
    kind=JobKind.WEBSITE_PROVISION,
    subject_id=uuid4(),
    generation=3,
)
AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
DONE, PARKED = (StepStatus.SUCCEEDED, 1), (StepStatus.PARKED, 1)


def test_of_an_undisturbed_run_every_step_is_done_at_the_first_try() -> None:
    assert states("ProvisionWebsite.delivered") == {
        "place_website": DONE,
        "create_site": DONE,
        "create_record": DONE,
        "deploy_starter": DONE,
        "go_live": DONE,
    }


def test_a_later_round_of_a_step_is_the_same_line() -> None:
    lines = [
        line
        for line in of("ProvisionWebsite.parked_and_retried")
        if line.name == "create_site"
    ]

    assert [line.status for line in lines] == [StepStatus.PARKED, StepStatus.SUCCEEDED]
    assert lines[0].code == Reason.REJECTED
    assert "no such PHP version" in (lines[0].message or "")
    assert lines[0].place < lines[1].place


def test_undos_have_lines_of_their_own() -> None:
    told = states("ProvisionWebsite.aborted")

    assert told["create_site"] == PARKED
    for step in ("create_record", "create_site", "place_website"):
        assert told[f"undo:{step}"] == DONE
    assert "go_live" not in told


def test_what_was_given_up_because_the_job_is_over_is_cancelled() -> None:
    assert states("FulfilOrder.expired")["prove_payment"][0] == StepStatus.CANCELLED


def test_every_line_carries_its_job_and_its_generation() -> None:
    for line in of("FulfilOrder.delivered"):
        assert (line.job_id, line.tenant_id) == (JOB.id, JOB.tenant_id)
        assert line.generation == JOB.generation
        assert line.started_at is not None
        assert line.ended_at is not None
        assert line.scheduled_at <= line.started_at <= line.ended_at


def test_a_step_between_two_tries_waits_until_the_next() -> None:
    [line] = pending(
        state=PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED,
        attempt=4,
        last_failure=Failure(
            message="powerdns: away",
            application_failure_info=ApplicationFailureInfo(type="provider_down"),
        ),
    )

    assert (line.status, line.tries) == (StepStatus.RETRYING, 3)
    assert (line.code, line.message) == ("provider_down", "powerdns: away")
    assert line.started_at == AT
    assert line.next_retry_at == AT + timedelta(seconds=9)


def test_a_step_that_waits_stands_between_the_try_that_failed_and_the_next() -> None:
    started = PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
    waits = PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED
    [failed] = pending(state=started, attempt=2, began=5)
    [between] = pending(state=waits, attempt=3, ended=6, last_failure=Failure())
    [following] = pending(state=started, attempt=3, began=9)

    assert failed.place < between.place < following.place


def test_a_step_that_only_waits_is_called_waiting() -> None:
    [line] = pending(
        state=PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED,
        attempt=2,
        last_failure=Failure(
            application_failure_info=ApplicationFailureInfo(type="not_yet")
        ),
    )

    assert line.code == "waiting"


def test_a_step_at_work_is_running_at_its_present_try() -> None:
    [line] = pending(
        state=PendingActivityState.PENDING_ACTIVITY_STATE_STARTED, attempt=4
    )

    assert (line.status, line.tries) == (StepStatus.RUNNING, 4)
    assert line.tried_at == AT + timedelta(seconds=5)


def test_a_step_that_no_worker_has_taken_yet_has_no_line() -> None:
    state = PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED

    assert pending(state=state, attempt=1) == []


def of(path: str) -> list[StepLine]:
    """The lines of a recorded run."""
    return timeline(JOB, histories.read(path).events)


def states(path: str) -> dict[str, tuple[StepStatus, int]]:
    """What became of each step of a recorded run in the end, and at which try."""
    last = sorted(of(path), key=lambda line: line.place)
    return {line.name: (line.status, line.tries) for line in last}


def pending(
    *,
    state: PendingActivityState.ValueType,
    attempt: int,
    began: float = 5,
    ended: float = 6,
    last_failure: Failure | None = None,
) -> list[StepLine]:
    """The lines of a run whose only step is pending, in this state; its present try
    began, or its last one ended, so many seconds after it was scheduled."""
    event = HistoryEvent(
        event_id=5,
        event_type=EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED,
        activity_task_scheduled_event_attributes=ActivityTaskScheduledEventAttributes(
            activity_id="create_record#2", start_to_close_timeout=Duration(seconds=60)
        ),
    )
    event.event_time.FromDatetime(AT)
    step = PendingActivityInfo(
        activity_id="create_record#2",
        state=state,
        attempt=attempt,
        last_failure=last_failure,
    )
    # The server tells one of the two, never both.
    if state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED:
        step.last_started_time.FromDatetime(AT + timedelta(seconds=began))
    elif attempt > 1:
        step.last_attempt_complete_time.FromDatetime(AT + timedelta(seconds=ended))
    step.next_attempt_schedule_time.FromDatetime(AT + timedelta(seconds=9))
    return timeline(JOB, [event], [step])
