"""What each story asks of Temporal, in order and under which condition, by its source.

A changed order breaks runs that are under way. So a change here is on purpose, guarded
by `workflow.patched`, and written down.
"""

import ast
import json
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "workflows"
KEPT = Path(__file__).with_name("fingerprints.json")
TEMPORAL = {
    "continue_as_new",
    "create_task",
    "execute_activity",
    "execute_activity_method",
    "execute_child_workflow",
    "execute_local_activity_method",
    "patched",
    "sleep",
    "start",
    "start_activity",
    "start_child_workflow",
    "upsert_search_attributes",
    "uuid4",
    "wait",
    "wait_condition",
}
# The engine's own, on their way to one of those.
ENGINE = {
    "step",
    "tell",
    "undo",
    "_attempt",
    "_deliver",
    "_end_if_stopped",
    "_listen",
    "_note_down",
    "_park",
    "_perform",
    "_run",
    "_stop",
    "_unwind",
}
COMMANDS = TEMPORAL | ENGINE
_TURNS = {ast.Return: "return", ast.Raise: "raise", ast.Continue: "continue"}


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
        " ones. Put the change under workflow.patched; copy the histories that show the"
        " old order to tests/histories/<Workflow>.<path>.<version>.json, to be replayed"
        " from then on; run pytest tests/workflows/test_replay.py"
        " tests/workflows/test_fingerprints.py --record-histories"
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("self.step(X); self.step(Y)", "self.step(Y); self.step(X)"),
        ("self.step(X)", "workflow.sleep(1); self.step(X)"),
        ("while self.step(X): self.step(Y)", "if self.step(X): self.step(Y)"),
        ("if self.a: self.step(X)", "if self.b: self.step(X)"),
        ("if a: return; self.step(X)", "if b: return; self.step(X)"),
        ("for x in one: self.step(X, x)", "for x in two: self.step(X, x)"),
        ('X = Step("x", "", do_x, Q)', 'X = Step("y", "", do_x, Q)'),
        ('X = Step("x", "", do_x, Q)', 'X = Step("x", "", do_y, Q)'),
    ],
)
def test_what_a_replay_would_stumble_over_has_another_fingerprint(
    before: str, after: str
) -> None:
    assert fingerprint(before) != fingerprint(after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("self.step(X)", "self.step(X)  # which makes the site"),
        ('X = Step("x", "Do it", do_x, Q)', 'X = Step("x", "Do so", do_x, Q)'),
    ],
)
def test_words_alone_leave_the_fingerprint_as_it_is(before: str, after: str) -> None:
    assert fingerprint(before) == fingerprint(after)


def test_a_job_without_a_story_is_known_by_its_steps() -> None:
    def of(body: str) -> dict[str, list[str]]:
        return dict(_of(ast.parse(f"class A:\n {body}\n"), "a"))

    listed = of("STEPS = (X, Y)")

    assert listed != of("STEPS = (Y, X)")
    assert listed == of("async def story(self): self.step(X); self.step(Y)")


def fingerprint(story: str) -> dict[str, list[str]]:
    return dict(_of(ast.parse(f"class A:\n def story(self):\n  {story}\n"), "a"))


def fingerprints() -> Iterator[tuple[str, list[str]]]:
    """(module:function, its commands), and (module:steps, id and activity of each)."""
    for path in sorted(ROOT.rglob("*.py")):
        name = str(path.relative_to(ROOT)).removesuffix(".py")
        yield from _of(ast.parse(path.read_text()), name)


def _of(tree: ast.Module, module: str) -> Iterator[tuple[str, list[str]]]:
    if steps := [_step(node) for node in ast.walk(tree) if _calls(node, {"Step"})]:
        yield f"{module}:steps", steps
    for story in tree.body:
        if isinstance(story, ast.ClassDef):
            if listed := _listed(story):
                yield f"{module}:{story.name}.story", listed
            for method in story.body:
                if any(_calls(node, COMMANDS) for node in ast.walk(method)):
                    assert isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef)
                    yield f"{module}:{story.name}.{method.name}", [*_commands(method)]


def _listed(story: ast.ClassDef) -> list[str]:
    """The commands of a job that tells no story but its `STEPS`."""
    if any(
        isinstance(it, ast.AsyncFunctionDef) and it.name == "story" for it in story.body
    ):
        return []
    for it in story.body:
        match it:
            case ast.Assign(
                targets=[ast.Name(id="STEPS")], value=ast.Tuple(elts=steps)
            ):
                return [f"step({ast.unparse(step)})" for step in steps]
    return []


def _commands(node: ast.AST) -> Iterator[str]:
    """In the order of the source; a block that holds some is named before them."""
    within = [told for child in ast.iter_child_nodes(node) for told in _commands(child)]
    match node:
        case ast.If() | ast.While():
            condition = f"{type(node).__name__.lower()} {ast.unparse(node.test)}"
            yield from [condition, *within, "end"] if within else []
        case ast.For():
            loop = f"for {ast.unparse(node.target)} in {ast.unparse(node.iter)}"
            yield from [loop, *within, "end"] if within else []
        case ast.Call() if _calls(node, COMMANDS):
            first = ast.unparse(node.args[0]) if node.args else ""
            yield from [*within, f"{_name(node.func)}({first})"]
        case _:
            yield from within
            if turn := _TURNS.get(type(node)):
                yield turn


def _step(node: ast.AST) -> str:
    """What a step's history knows it by."""
    assert isinstance(node, ast.Call)
    undo = [ast.unparse(one.value) for one in node.keywords if one.arg == "undo"]
    return " ".join([*(ast.unparse(node.args[at]) for at in (0, 2)), *undo])


def _calls(node: ast.AST, names: Collection[str]) -> bool:
    return isinstance(node, ast.Call) and _name(node.func) in names


def _name(function: ast.expr) -> str:
    match function:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""
