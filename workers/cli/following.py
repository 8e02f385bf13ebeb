"""`mpanel inbox watch`: a job as it changes, by the API's own stream."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import httpx
from rich.console import Console
from rich.live import Live

from workers.cli.client import Api, CallFailed
from workers.cli.inbox_view import live

# An API that restarts is back within a minute.
_TRIES: Final = 12
_FIRST, _LONGEST = 0.5, 5.0
# An answer without a code of ours is a proxy's: nobody is behind it just now.
_AWAY: Final = ("UNREACHABLE", "")


@dataclass
class Event:
    """One server-sent event."""

    name: str = ""
    id: str = ""
    data: str = ""


def follow(api: Api, job_id: str) -> None:
    """Until the job has ended; a stream that breaks is taken up where it was."""
    console = Console(highlight=False)
    if console.is_terminal:
        with Live(console=console, refresh_per_second=10) as screen:
            for state in states(api, job_id):
                screen.update(live(state), refresh=True)
        return
    said: set[str] = set()
    for state in states(api, job_id):
        for line in _lines(state):
            if line not in said:
                console.print(line, soft_wrap=True, markup=False)
                said.add(line)


def states(
    api: Api, job_id: str, *, pause: Callable[[float], None] = time.sleep
) -> Iterator[dict[str, Any]]:
    """Each state of the job, to its last; a restart of the API is waited for.

    Raises `CallFailed`.
    """
    last_id, broken = "", 0
    while True:
        try:
            with api.stream(f"/api/jobs/{job_id}/events", last_id) as answer:
                for event in events(answer.iter_lines()):
                    broken = 0
                    if event.name == "end":
                        return
                    last_id = event.id or last_id
                    yield json.loads(event.data)
        except (httpx.StreamError, CallFailed) as failed:
            away = getattr(failed, "code", "UNREACHABLE") in _AWAY
            broken += 1
            if not away or broken > _TRIES:
                raise
            pause(min(_FIRST * 2 ** (broken - 1), _LONGEST))


def events(lines: Iterator[str]) -> Iterator[Event]:
    """What the lines of a stream mean; comments mean nothing."""
    event = Event()
    for line in lines:
        field, _, value = line.partition(": ")
        if field == "data":
            event.data += value
        elif field == "event":
            event.name = value
        elif field == "id":
            event.id = value
        elif not line and (event.name or event.data):
            yield event
            event = Event()


def _lines(state: dict[str, Any]) -> list[str]:
    """For a file or a pipe: each step's state once, then the job's."""
    told = [f"{step['name']} {step['status']}" for step in state["steps"]]
    return [*told, f"job {state['job']['state']}"]
