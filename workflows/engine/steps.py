"""A step: one activity with a stable id, a summary, and what takes it back."""

from collections.abc import Awaitable, Callable, Iterable
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

    `if_skipped`: what it means to leave the step out, in a sentence; a step without
    one cannot be. `leaves`: the kinds of effects that stay then, for a person to take
    away. `done_by_hand`: skipped, it counts as done by a person; it runs again, and
    finds that by the rows.
    """

    id: str
    summary: str
    activity: StepActivity
    queue: str
    undo: StepActivity | None = None
    undo_summary: str = ""
    if_skipped: str = ""
    leaves: frozenset[str] = frozenset()
    done_by_hand: bool = False
    patience: timedelta = PATIENCE
    time: timedelta = QUICK
    ends: frozenset[Reason] = frozenset()

    @property
    def skippable(self) -> bool:
        """Whether the story may go on without it."""
        return bool(self.if_skipped)

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
            if_skipped="",
            leaves=frozenset(),
            patience=UNDO_PATIENCE,
            ends=frozenset(),
        )


def step_of(steps: Iterable[Step], key: str) -> Step | None:
    """The step that a timeline calls by this key: its id, or `id:item`."""
    return next((one for one in steps if key.partition(":")[0] == one.id), None)
