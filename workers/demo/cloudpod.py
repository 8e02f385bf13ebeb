"""One CloudPod is born, resized and terminated."""

import subprocess
import sys
from contextlib import closing
from typing import Any, Final

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from workers.demo.outside import Cluster, Names, PodRow, Rows, Size, size_of
from workers.demo.pod_facts import Told, facts, table
from workers.demo.pod_steps import PodSteps
from workers.demo.shop import Failed, Shop
from workers.demo.timeline import Job, follow_job, follow_order
from workers.demo.website import buy
from workers.dev.settings import of_stack

# Seconds for which the stack's removals can be called off; a day on a real one.
HOLD: Final = 8
_ITEMS: Final = [{"code": "cloudpod_mini", "type": "cloudpod"}]
_WANTED: Final = Size(cores=4, memory=4096, disk=60)
_IPV6: Final = ("six", "2001:db8::/64", "--gateway", "fe80::1", "--count", "99")
# A cluster of disks takes minutes for these.
_PACE: Final = {"task qmclone": 1.5, "task resize": 1.0, "task vzdump": 0.7}


def play(shop: Shop, console: Console) -> bool:
    """Whether every fact in the end is as promised. Raises `Failed`."""
    with closing(Cluster(shop.stack)) as cluster:
        cluster.take_its_time(_PACE)
        try:
            return _Story(shop, console, cluster).tell()
        finally:
            cluster.take_its_time({})


class _Story:
    def __init__(self, shop: Shop, console: Console, cluster: Cluster) -> None:
        self._shop, self._console, self._cluster = shop, console, cluster
        self._rows, self._names = Rows(shop.stack), Names(shop.stack)
        self._steps = PodSteps(self._rows, cluster, self._names)

    def tell(self) -> bool:
        self._shop.log_in()
        self._furnish()
        since = self._cluster.calls()
        pod, order = self._born()
        before = size_of(self._cluster.config(pod))
        after = self._resized(pod, before)
        self._called_off(pod)
        self._terminated(pod)
        told = Told(order, pod, _WANTED, before, after, since)
        found = facts(told, self._shop, self._rows, self._cluster, self._names)
        self._say("\n[bold]What is left of it[/]")
        self._console.print(table(found))
        self._links(order, pod)
        return all(one.true for one in found)

    def _furnish(self) -> None:
        """The stack has IPv4 addresses; this is how an operator adds others."""
        command = ["mpanel", "pool", "add", *_IPV6]
        done = subprocess.run(
            [sys.executable, "-m", "workers.cli", *command[1:]],
            env=of_stack(self._shop.stack.data_dir),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Failed("pool add", done.stderr[-300:])
        self._say(f"[green]✓[/] IPv6 too: [dim]{' '.join(command)}[/]")

    def _born(self) -> tuple[PodRow, dict[str, Any]]:
        self._say("\n[bold]Born:[/] ordered, paid, built")
        _, order = buy(self._shop, self._console, _ITEMS)
        jobs = follow_order(
            self._shop, self._console, order["orderId"], self._steps.fact
        )
        [job] = [one for one in jobs if one["type"] == "cloudpod_provision"]
        pod = self._rows.pod(job["targetId"])
        if pod.status != "active":
            raise Failed("call_active", f"the CloudPod is {pod.status}")
        return pod, order

    def _resized(self, pod: PodRow, before: Size) -> Size:
        self._say(f"\n[bold]Resized:[/] to {_WANTED}")
        path = f"/api/cloudpods/{pod.id}/resize"
        wish = {
            "cpu": _WANTED.cores,
            "memoryMb": _WANTED.memory,
            "diskGb": _WANTED.disk,
        }
        self._refused("a smaller disk", path, {"diskGb": before.disk - 1}, 422)
        job = self._shop.api("POST", path, "resize", json=wish)["job"]
        self._refused("a second one meanwhile", path, {"cpu": 8}, 409)
        ended = follow_job(self._shop, self._console, job["id"], self._steps.fact)
        _succeeded(ended)
        after = size_of(self._cluster.config(pod))
        self._console.print(_compared(before, after))
        return after

    def _called_off(self, pod: PodRow) -> None:
        self._say(f"\n[bold]Terminated, and called off[/] within the {HOLD} s of hold")
        job_id = self._remove(pod)
        follow_job(
            self._shop,
            self._console,
            job_id,
            self._steps.fact,
            until=lambda: self._rows.pod(pod.id).held_until is not None,
        )
        why = {"scope": "item", "reason": "the customer wants it back"}
        self._shop.api("POST", f"/api/jobs/{job_id}/abort", "call it off", json=why)
        self._say("[green]✓[/] an operator calls it off: one click, with a reason")
        ended = follow_job(self._shop, self._console, job_id, self._steps.fact)
        now, there = self._rows.pod(pod.id).status, self._cluster.status(pod)
        if (ended["state"], now, there) != ("failed", "active", "running"):
            raise Failed("call it off", f"it is {now}, its guest is {there}")
        self._say(f"[green]✓[/] it is {now} again, its guest is {there}")

    def _terminated(self, pod: PodRow) -> None:
        self._say("\n[bold]Terminated:[/] and nobody calls it off")
        job_id = self._remove(pod)
        _succeeded(follow_job(self._shop, self._console, job_id, self._steps.fact))

    def _remove(self, pod: PodRow) -> str:
        path = f"/api/cloudpods/{pod.id}"
        return str(self._shop.api("DELETE", path, "terminate")["job"]["id"])

    def _refused(self, what: str, path: str, body: Any, status: int) -> None:
        answer = self._shop.ask("POST", path, json=body)
        if answer.status_code != status:
            raise Failed(what, f"{answer.status_code} {answer.text[:300]}")
        error = answer.json()["error"]
        self._say(f"[green]✓[/] {what}: refused, {status}")
        said = [error["message"], error.get("details", {}).get("status")]
        told = Text(": ".join(filter(None, said)), style="dim")
        self._console.print(Padding(told, (0, 0, 0, 2)))

    def _links(self, order: dict[str, Any], pod: PodRow) -> None:
        self._console.print()
        for label, link in (
            ("Its order", self._shop.run_of(f"fulfil_order:{order['jobId']}")),
            ("Its life", self._shop.run_of(f"cloudpod:{pod.id}")),
        ):
            self._console.print(f"  [dim]{label:<9}[/] {link}", soft_wrap=True)

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False)


def _succeeded(job: Job) -> None:
    if job["state"] != "succeeded":
        raise Failed(str(job["type"]), str(job["message"] or f"it is {job['state']}"))


def _compared(before: Size, after: Size) -> Table:
    lines = Table.grid(padding=(0, 2))
    for what, was, now in (
        ("cores", before.cores, after.cores),
        ("memory", f"{before.memory} MiB", f"{after.memory} MiB"),
        ("disk", f"{before.disk} GiB", f"{after.disk} GiB"),
    ):
        lines.add_row(f"  [dim]{what}[/]", f"{was}", "→", f"[bold]{now}[/]")
    return lines
