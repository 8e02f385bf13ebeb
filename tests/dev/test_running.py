"""A stack is found by its data folder, or started; what is not kept ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.dev.program import PATIENT, ROOT, alive, mentioning, until


def visit(data_dir: Path, how: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.dev.visit", str(data_dir), how],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def finished(visitor: "subprocess.Popen[str]") -> str:
    said, _ = visitor.communicate(timeout=PATIENT)
    assert visitor.returncode == 0
    return said


def test_a_stack_that_is_not_kept_ends_with_its_visitor(tmp_path: Path) -> None:
    assert "http://127.0.0.1:" in finished(visit(tmp_path, "stop"))
    until(lambda: not mentioning(tmp_path), within=PATIENT)


def test_a_stack_that_is_not_kept_ends_when_its_visitor_is_killed(
    tmp_path: Path,
) -> None:
    with visit(tmp_path, "linger") as visitor:
        assert visitor.stdout is not None
        assert visitor.stdout.readline()
        visitor.kill()
    until(lambda: not mentioning(tmp_path), within=PATIENT)


def test_a_kept_stack_is_found_by_the_next_visitor(tmp_path: Path) -> None:
    first = finished(visit(tmp_path, "keep"))
    supervisor = int(first.split()[0])
    try:
        assert finished(visit(tmp_path, "stop")) == first
        assert alive(supervisor)
    finally:
        os.kill(supervisor, signal.SIGTERM)
        until(lambda: not mentioning(tmp_path), within=PATIENT)
