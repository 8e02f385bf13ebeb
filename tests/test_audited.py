"""Whatever the audit log may tell of, some test has seen it told."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from models.audit import Action

TESTS = Path(__file__).parent


@cache
def seen() -> frozenset[str]:
    """Every word of the tests that do not write to the log by themselves."""
    return frozenset(_words())


def _words() -> Iterator[str]:
    for path in sorted(TESTS.rglob("test_*.py")):
        tree = ast.parse(path.read_text())
        if not any(_records(node) for node in ast.walk(tree)):
            for node in ast.walk(tree):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


def _records(node: ast.AST) -> bool:
    """Whether it is a call of `audit.record`, under whichever name."""
    match node:
        case ast.Call(func=ast.Attribute(attr="record"), keywords=given):
            return "action" in {one.arg for one in given}
    return False


@pytest.mark.parametrize("action", list(Action))
def test_no_action_is_told_of_unseen(action: Action) -> None:
    assert str(action) in seen(), f"write a test that sees {action} told"
