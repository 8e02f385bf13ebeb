"""What Temporal Cloud would bill, by its rules of 2026, read from histories.

Billed: a start; two for a child (its intent and its start, so a child's own start
event adds nothing); an activity's every try; a timer; a signal; an update; an upsert of
search attributes; and one for all markers (local activities) of a workflow task.
Heartbeats are billed and stand in no history: the server counts them.
"""

from collections.abc import Iterable, Mapping

from temporalio.api.enums.v1 import EventType as Event
from temporalio.api.history.v1 import HistoryEvent

_BILLED: Mapping[int, int] = {
    Event.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED: 2,
    Event.EVENT_TYPE_TIMER_STARTED: 1,
    Event.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED: 1,
    Event.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED: 1,
    Event.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED: 1,
    Event.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES: 1,
    Event.EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED: 1,
}


def billed(history: Iterable[HistoryEvent]) -> int:
    """The actions of one run."""
    total, tasks_with_markers = 0, set()
    for event in history:
        total += _BILLED.get(event.event_type, 0)
        match event.event_type:
            case Event.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
                begun = event.workflow_execution_started_event_attributes
                total += not begun.HasField("parent_workflow_execution")
            case Event.EVENT_TYPE_ACTIVITY_TASK_STARTED:
                total += event.activity_task_started_event_attributes.attempt
            case Event.EVENT_TYPE_MARKER_RECORDED:
                marker = event.marker_recorded_event_attributes
                tasks_with_markers.add(marker.workflow_task_completed_event_id)
    return total + len(tasks_with_markers)


def activities(history: Iterable[HistoryEvent]) -> list[str]:
    """The task queue of each activity, in their order."""
    return [
        event.activity_task_scheduled_event_attributes.task_queue.name
        for event in history
        if event.event_type == Event.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    ]
