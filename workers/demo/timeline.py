"""Jobs and their steps while they run."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from workers.demo.shop import Failed, Shop
from workers.signs import SIGNS

Job = dict[str, Any]
# (job, step): what is to be seen of it, from outside.
Fact = Callable[[Job, dict[str, Any]], str]

_WITHIN: Final = 60.0
_TITLES: Final = {
    "fulfil_order": "Order",
    "website_provision": "Website",
    "backups_enable": "Daily backups",
    "cloudpod_provision": "CloudPod",
    "cloudpod_resize": "Resize",
    "cloudpod_delete": "Removal",
}
_STATES: Final = {"undoing": "taken back", "failed": "given up, all taken back"}
_OVER: Final = {"completed", "failed", "cancelled", "expired", "partially_fulfilled"}


def no_fact(_job: Job, _step: dict[str, Any]) -> str:
    """Its time says enough."""
    return ""


def follow_order(
    shop: Shop, console: Console, order_id: str, fact: Fact = no_fact
) -> list[Job]:
    """Until it is completed; its jobs. Raises `Failed`, naming the step that waits."""
    with _live(console) as live:
        for order, jobs in _orders(shop, order_id):
            state = f"order {order['state'].replace('_', ' ')}"
            last = Text(state, style="bold")
            live.update(Group(picture(jobs, fact), last), refresh=True)
    if order["state"] != "completed":
        root = next(job for job in jobs if job["type"] == "fulfil_order")
        stuck = next((job for job in jobs if job["status"] == "needs_attention"), root)
        raise Failed(*_why(stuck, f"the order is {order['state']}"))
    return jobs


def follow_job(
    shop: Shop,
    console: Console,
    job_id: str,
    fact: Fact = no_fact,
    *,
    until: Callable[[], bool] | None = None,
) -> Job:
    """Until it has ended, well or not, or `until` says so. Raises `Failed` if it waits
    for a person, or for ever."""
    deadline = time.monotonic() + _WITHIN
    with _live(console) as live:
        while True:
            job = shop.job(job_id)
            enough = until is not None and until()
            live.update(picture([job], fact), refresh=True)
            if enough or (job["endedAt"] and _written(job)):
                return job
            if job["status"] == "needs_attention" or time.monotonic() > deadline:
                break
            time.sleep(0.05)
    raise Failed(*_why(job, f"it is {job['state']} after {_WITHIN:.0f} s"))


@contextmanager
def _live(console: Console) -> Iterator[Live]:
    """Its last frame stays; in a file or a pipe it is the only one."""
    with Live(console=console, refresh_per_second=20) as live:
        yield live
    if not console.is_terminal:
        console.line()


def _written(job: Job) -> bool:
    """Whether its timeline has come as far as the job: it is written in batches."""
    return all(step["status"] != "running" for step in job["steps"])


def picture(jobs: list[Job], fact: Fact = no_fact) -> RenderableType:
    """A line for each step."""
    lines = Table.grid(padding=(0, 1))
    for _ in range(3):
        lines.add_column(no_wrap=True)
    lines.add_column(overflow="fold")
    for job in jobs:
        title = str(_TITLES.get(job["type"], job["type"]))
        state = _STATES.get(job["state"], job["status"])
        lines.add_row("", Text(title, style="bold"), "", Text(str(state), style="dim"))
        for step in job["steps"]:
            status = step["status"]
            if job["endedAt"] and status == "retrying":
                status = "cancelled"  # between two tries; its line is closed later
            lines.add_row(
                SIGNS.get(status, " "),
                Text("  " + step["name"].replace("_", " ").replace(":", " ")),
                Text(_took(step), style="dim", justify="right"),
                Text(fact(job, step) or _trouble(status, step), style="dim"),
            )
    return lines


def _orders(shop: Shop, order_id: str) -> Iterator[tuple[dict[str, Any], list[Job]]]:
    deadline = time.monotonic() + _WITHIN
    while True:
        order = shop.api("GET", f"/api/orders/{order_id}", "read the order")
        jobs = [shop.job(one["id"]) for one in order["jobs"]]
        yield order, jobs
        stuck = any(job["status"] == "needs_attention" for job in jobs)
        over = order["state"] in _OVER and all(map(_written, jobs))
        if over or stuck or time.monotonic() > deadline:
            return
        time.sleep(0.05)


def _why(job: Job, otherwise: str) -> tuple[str, str]:
    step = str(job.get("step") or job["type"])
    return step, str(job.get("message") or otherwise)


def _took(step: dict[str, Any]) -> str:
    if not (step.get("endedAt") and step.get("startedAt")):
        return ""
    began, ended = (
        datetime.fromisoformat(step[key]) for key in ("startedAt", "endedAt")
    )
    return f"{(ended - began).total_seconds() * 1000:.0f} ms"


def _trouble(status: str, step: dict[str, Any]) -> str:
    words = []
    if (step.get("tries") or 1) > 1:
        words.append(f"{step['tries']} tries")
    if status in ("retrying", "parked") and step.get("message"):
        words.append(str(step["message"]))
    return "  ".join(words)


def ms(began: float) -> str:
    """Since then, for people."""
    return f"{(time.monotonic() - began) * 1000:.0f} ms"
