"""Steps side by side.

When one ends badly its siblings are cancelled, and the group waits until each of them
has really ended before it says so: an undo can never overtake a create that is still
on its way.
"""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

from temporalio import workflow


async def ended(task: "asyncio.Task[Any]") -> None:
    """Cancels the task; returns when it has ended, however often we are cancelled."""
    if not task.done():
        task.cancel()
    while not task.done():
        try:
            await workflow.wait([task])
        except asyncio.CancelledError:
            continue


class Group:
    """`async with Group() as group: group.start(self.step(A)); group.start(...)`."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[Any]] = []

    def start(self, step: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Begins a step; its result is there when the group has ended."""
        task = asyncio.create_task(step)
        self._tasks.append(task)
        return task

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None and self._tasks:
                await workflow.wait(self._tasks, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in self._tasks:
                if not task.done():
                    task.cancel()
            for task in self._tasks:
                await ended(task)
        if error is None:
            for task in self._tasks:
                if not task.cancelled():
                    task.result()
