"""Steps side by side.

When one ends badly its siblings are cancelled, and the group waits until each of them
has really ended before it says so: an undo can never overtake a create that is still
on its way.
"""

import asyncio
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self

from temporalio import workflow


async def ended(task: "asyncio.Task[Any]") -> None:
    """Returns when the task has ended, however often we are cancelled."""
    while not task.done():
        try:
            await workflow.wait([task])
        except asyncio.CancelledError:
            continue


class Group:
    """`async with self.group() as group: group.start(self.step(A)); ...`.

    `stop` cancels a task for good: a step that ends well all the same is the last.
    """

    def __init__(self, stop: Callable[["asyncio.Task[Any]"], None]) -> None:
        self._stop = stop
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
        if isinstance(error, GeneratorExit):
            return  # the worker drops the run from memory: nothing may be awaited
        stopped: asyncio.CancelledError | None = None
        if error is None and self._tasks:
            try:
                await workflow.wait(self._tasks, return_when=asyncio.FIRST_EXCEPTION)
            except asyncio.CancelledError as cancelled:
                stopped = cancelled
        for task in self._tasks:
            self._stop(task)
        for task in self._tasks:
            await ended(task)
        if stopped is not None:
            raise stopped
        if error is None:
            for task in self._tasks:
                if not task.cancelled():
                    task.result()
