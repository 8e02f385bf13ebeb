"""What states and acts are called on the pages."""

from collections.abc import Mapping
from typing import Final

from models.causes import Suggestion
from models.states import Act, EffectState, JobKind, JobStatus, StepStatus

KINDS: Final[Mapping[str, str]] = {
    JobKind.FULFIL_ORDER: "Order",
    JobKind.WEBSITE_PROVISION: "New website",
    JobKind.WEBSITE_DELETE: "Website removal",
    JobKind.WEBSITE_SUSPEND: "Website suspension",
    JobKind.WEBSITE_RESUME: "Website resumption",
    JobKind.WEBSITE_BACKUP: "Backup",
    JobKind.WEBSITE_RESTORE: "Restore",
    JobKind.BACKUPS_ENABLE: "Daily backups",
}

# (word, tone); the tone is a class of the style sheet.
STATES: Final[Mapping[str, tuple[str, str]]] = {
    JobStatus.WAITING: ("not begun", "quiet"),
    JobStatus.PENDING: ("about to begin", "busy"),
    JobStatus.RUNNING: ("running", "busy"),
    JobStatus.NEEDS_ATTENTION: ("waits for a person", "waits"),
    JobStatus.UNDOING: ("being undone", "busy"),
    JobStatus.SUCCEEDED: ("done", "good"),
    JobStatus.FAILED: ("failed", "bad"),
    JobStatus.CANCELLED: ("cancelled", "quiet"),
}
STEPS: Final[Mapping[str, tuple[str, str]]] = {
    StepStatus.RUNNING: ("running", "busy"),
    StepStatus.RETRYING: ("tries again by itself", "busy"),
    StepStatus.SUCCEEDED: ("done", "good"),
    StepStatus.PARKED: ("waits for a person", "waits"),
    StepStatus.SKIPPED: ("left out", "quiet"),
    StepStatus.CANCELLED: ("stopped", "quiet"),
}
EFFECTS: Final[Mapping[str, tuple[str, str]]] = {
    EffectState.INTENDED: ("nobody knows yet", "waits"),
    EffectState.PRESENT: ("exists", "good"),
    EffectState.REMOVED: ("taken back", "quiet"),
}

ACTS: Final[Mapping[str, str]] = {
    Act.RETRY: "Try again",
    Act.SKIP: "Go on without it",
    Act.ABORT_ITEM: "Undo this item",
    Act.ABORT_ORDER: "Undo the whole order",
}
CONFIRM: Final[Mapping[str, str]] = {
    Act.RETRY: "Yes, try again",
    Act.SKIP: "Yes, go on without it",
    Act.ABORT_ITEM: "Yes, undo this item",
    Act.ABORT_ORDER: "Yes, undo the order",
}
DECIDED: Final[Mapping[str, str]] = {
    Act.RETRY: "It is tried again; below you see it go on.",
    Act.SKIP: "It goes on without this step; below you see it go on.",
    Act.ABORT_ITEM: "This item is being undone; below you see it happen.",
    Act.ABORT_ORDER: "The order is being undone, line by line.",
}
SUGGESTED: Final[Mapping[str, str]] = {
    Suggestion.RETRY: "try again",
    Suggestion.CORRECT: "set it right, then try again",
    Suggestion.SKIP: "go on without it",
    Suggestion.ABORT_ITEM: "undo this item",
    Suggestion.ABORT_ORDER: "undo the order",
    Suggestion.WAIT: "nothing: it goes on by itself",
}
# Which button is the one that is suggested.
BUTTONS: Final[Mapping[str, Act]] = {
    Suggestion.RETRY: Act.RETRY,
    Suggestion.CORRECT: Act.RETRY,
    Suggestion.SKIP: Act.SKIP,
    Suggestion.ABORT_ITEM: Act.ABORT_ITEM,
    Suggestion.ABORT_ORDER: Act.ABORT_ORDER,
}
ABORTS: Final = (Act.ABORT_ITEM, Act.ABORT_ORDER)
