"""What each story asks of Temporal, in order, as its source says.

A changed order breaks runs that are under way. So a change here is on purpose, guarded
by `workflow.patched`, and written down.
"""

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "workflows"
KEPT = Path(__file__).with_name("fingerprints.json")
COMMANDS = frozenset(
    {
        "execute_activity",
        "execute_activity_method",
        "execute_child_workflow",
        "execute_local_activity_method",
        "patched",
        "sleep",
        "start",
        "step",
        "undo",
        "upsert_search_attributes",
        "wait",
        "wait_condition",
        "_note_down",
        "_park",
        "_perform",
    }
)


def test_no_story_changes_its_commands_unnoticed(
    request: pytest.FixtureRequest,
) -> None:
    now = dict(fingerprints())
    if request.config.getoption("--record-histories"):
        KEPT.write_text(json.dumps(now, indent=1) + "\n")

    kept = json.loads(KEPT.read_text())

    changed = sorted(key for key in now | kept if now.get(key) != kept.get(key))
    assert not changed, (
        f"{', '.join(changed)}: the commands changed. Runs under way replay the old"
        " ones: put the change under workflow.patched, keep the old history, then run"
        " pytest tests/workflows/test_replay.py tests/workflows/test_fingerprints.py"
        " --record-histories"
    )


def test_a_swapped_pair_of_steps_has_another_fingerprint() -> None:
    story = "class A:\n async def story(self):\n  await self.step(X)\n  await {}\n"
    first, second = (
        list(_of(ast.parse(story.format(rest)), "a"))
        for rest in ("self.step(Y)", "self.step(Z)")
    )

    assert first != second


def fingerprints() -> Iterator[tuple[str, list[str]]]:
    """(module:function, its commands in the order of the source)."""
    for path in sorted(ROOT.rglob("*.py")):
        name = str(path.relative_to(ROOT)).removesuffix(".py")
        yield from _of(ast.parse(path.read_text()), name)


def _of(tree: ast.AST, module: str) -> Iterator[tuple[str, list[str]]]:
    for story in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
        for method in story.body:
            if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
                calls = [
                    node
                    for node in ast.walk(method)
                    if isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and node.func.attr in COMMANDS
                ]
                calls.sort(key=lambda call: (call.lineno, call.col_offset))
                if calls:
                    yield (
                        f"{module}:{story.name}.{method.name}",
                        [_told(call) for call in calls],
                    )


def _told(call: ast.Call) -> str:
    assert isinstance(call.func, ast.Attribute)
    first = ast.unparse(call.args[0]) if call.args else ""
    return f"{call.func.attr}({first})"
