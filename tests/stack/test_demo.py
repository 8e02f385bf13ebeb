"""`mpanel demo`: what it promises to whoever looks, and the code it ends with."""

import io
import os
import re
import subprocess
import sys

import pytest
from rich.console import Console

from tests.dev.program import ROOT
from tests.faults.shop import Shop
from tests.faults.stand import Stand
from workers.demo.pod_facts import Fact, table

DEMO = (sys.executable, "-m", "workers.cli", "demo")
# A stack may have to come up before, on a machine that is slow.
pytestmark = pytest.mark.timeout(400)
FREE_PORTS = ("--port=0", "--temporal-port=0", "--ui-port=0")


def demo(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*DEMO, *words],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_website_goes_live_on_the_stack_that_runs(stand: Stand, shop: Shop) -> None:
    said = demo("--data-dir", str(stand.data_dir))

    assert said.returncode == 0, said.stdout + said.stderr
    assert "the website answers over HTTP" in said.stdout
    assert "welcome mail" in said.stdout


def test_a_step_that_fails_is_named_with_its_reason(stand: Stand, shop: Shop) -> None:
    shop.fault("hosting", {"kind": "reject", "op": "clpctl site:add*"})

    said = demo("--data-dir", str(stand.data_dir))

    assert said.returncode == 1, said.stdout
    assert "✗ create_site:" in said.stdout
    assert "scripted by the simulator" in said.stdout
    [order_id] = re.findall(r"accepted \d+ ms +([0-9a-f-]{36})", said.stdout)
    parked = shop.jobs(status="needs_attention")
    [job] = [one for one in parked if one["orderId"] == order_id]
    assert shop.decide(job["id"], "retry").is_success
    shop.completed(order_id)


def test_a_cloudpod_is_born_resized_called_back_and_terminated() -> None:
    said = demo("cloudpod", *FREE_PORTS)

    assert said.returncode == 0, said.stdout + said.stderr
    assert "✗" not in said.stdout
    for told in (
        "VMID 10000 on pve",
        "UPID:pve1:",
        "cloud-init for mpanel",
        ".sites.localhost\n",
        ", and back",
        "firewall on, group mpanel-pod",
        "sends as 198.51.100.",
        "its agent answers on 198.51.100.",
        ", 2001:db8::",
        "a smaller disk: refused, 422",
        "a second one meanwhile: refused, 409",
        "memory  2048 MiB  →  4096 MiB",
        "it is active again, its guest is running",
        "nobody called it off",
        "no configuration on pve1, pve2, pve3",
        "VMID 10000 rests till",
        "What is left of it",
    ):
        assert told in re.sub(r" +\n", "\n", said.stdout), told
    lines = [line for line in said.stdout.splitlines() if "://" not in line]
    assert max(map(len, lines)) <= 80


def test_options_before_its_name_are_refused() -> None:
    said = demo("--keep", "cloudpod")

    assert said.returncode == 2
    assert "stand after its name" in said.stderr


def test_a_fact_that_is_not_as_promised_is_marked() -> None:
    seen = io.StringIO()
    found = [Fact("clones", "2", "1", true=False), Fact("paid", "1", "1", true=True)]

    Console(width=80, file=seen).print(table(found))

    lines = seen.getvalue().splitlines()
    assert [("✗" in line, "✓" in line) for line in lines[1:]] == [
        (True, False),
        (False, True),
    ]
