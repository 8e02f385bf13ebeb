"""A step: one activity with a stable id, a summary, and what takes it back."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from models.states import Reason
from workflows.engine.patience import PATIENCE, QUICK, UNDO_PATIENCE

# A method of an activity class: (self, StepCall) -> plain value.
StepActivity = Callable[[Any, Any], Awaitable[Any]]

UNDO = "undo:"


@dataclass(frozen=True)
class Step:
    """`undo` takes only our ids; it is registered before the step is begun.

    `ends`: failures that end the job instead of parking it (nothing is undone: the
    activity that raised them has written what became of it).
    """

    id: str
    summary: str
    activity: StepActivity
    queue: str
    undo: StepActivity | None = None
    undo_summary: str = ""
    skippable: bool = False
    patience: timedelta = PATIENCE
    time: timedelta = QUICK
    ends: frozenset[Reason] = frozenset()

    def undoing(self) -> "Step":
        """The step that takes this one back."""
        if self.undo is None:
            raise ValueError(f"{self.id} has no undo")
        return replace(
            self,
            id=UNDO + self.id,
            summary=self.undo_summary or f"Take back: {self.summary}",
            activity=self.undo,
            undo=None,
            skippable=False,
            patience=UNDO_PATIENCE,
            ends=frozenset(),
        )
