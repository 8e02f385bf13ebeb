"""What README and `docs/` name is there: paths, commands, targets, settings, tables."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from api.settings import ApiSettings
from models.logs import LogSettings
from models.settings import PREFIX
from workers.cli import app
from workers.cli.settings import ALSO
from workers.dev import temporal
from workers.settings import MigrateSettings, WorkerSettings

ROOT = Path(__file__).parents[1]
PAGES = (
    ROOT / "README.md",
    ROOT / "temporal-dev" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
)
FOLDERS = tuple(one.name for one in ROOT.iterdir() if one.is_dir())
SETTINGS = {
    PREFIX + name.upper()
    for kind in (ApiSettings, WorkerSettings, MigrateSettings, LogSettings)
    for name in kind.model_fields
} | {name for name, *_ in ALSO}

ticks = re.compile(r"`([^`\n]+)`")
fences = re.compile(r"^ *```\w*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


@pytest.fixture(params=PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def page(request: pytest.FixtureRequest) -> str:
    return Path(request.param).read_text()


def words_of(page: str) -> Iterator[str]:
    """What stands between backticks, and each line of a fenced block."""
    for block in fences.findall(page):
        yield from block.replace("\\\n", " ").splitlines()
    for line in fences.sub("", page).splitlines():
        yield from ticks.findall(line)


def commands(page: str) -> Iterator[list[str]]:
    """The words of each `mpanel` command, without its comment."""
    for text in words_of(page):
        told = text.strip().removeprefix(".venv/bin/").partition("  ")[0]
        if told == "mpanel" or told.startswith("mpanel "):
            yield told.partition(" #")[0].split()[1:]


def test_every_path_that_is_named_exists(page: str) -> None:
    for text in words_of(page):
        for path in re.findall(r"[\w./-]+/[\w./-]*\w", text):
            if path.split("/")[0] in FOLDERS:
                assert (ROOT / path).exists(), path


def test_every_link_leads_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page):
        if not target.startswith("https://"):
            assert (ROOT / target.partition("#")[0]).exists(), target


def test_every_command_that_is_named_exists(page: str) -> None:
    for words in commands(page):
        command: Any = get_command(app)
        for word in words:
            options = {name for one in command.params for name in one.opts}
            options |= {name for one in command.params for name in one.secondary_opts}
            if word.startswith("-"):
                name = word.partition("=")[0]
                assert name in options | {"--help"}, f"{words}: no {word}"
            elif inner := getattr(command, "commands", {}).get(word):
                command = inner
            elif getattr(command, "commands", None):
                raise AssertionError(f"{words}: mpanel has no {word}")


def test_every_command_there_is_stands_in_the_table() -> None:
    table = (ROOT / "README.md").read_text().partition("| command |")[2]
    table = table.partition("\n\n")[0]
    named: set[tuple[str, ...]] = set()
    for row in table.splitlines():
        before: list[str] = []
        for text in ticks.findall(row.split("|")[1]) if "|" in row else []:
            words = [one for one in text.split() if not one.startswith("-")]
            if words[:1] == ["mpanel"]:
                before = words[1:]
            elif words and before:
                before = [*before[: 1 if known(before[0], words[0]) else 0], *words]
            named.add(tuple(before))
    for words in everything(get_command(app)):
        assert words in named or words[:1] == ("inbox",), f"mpanel {' '.join(words)}"


def known(group: str, word: str) -> bool:
    inner: Any = getattr(get_command(app), "commands", {}).get(group)
    return word in getattr(inner, "commands", {})


def everything(command: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, one in getattr(command, "commands", {}).items():
        if getattr(one, "commands", None):
            yield from everything(one, (*before, name))
        else:
            yield (*before, name)


def test_every_make_target_that_is_named_exists(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for text in words_of(page):
        for name in re.findall(r"\bmake ([a-z-]+)", text):
            assert name in targets, name


def test_every_setting_that_is_named_exists(page: str) -> None:
    for name in re.findall(r"\b(?:MPANEL|TEMPORAL)_[A-Z0-9_]+\b", page):
        rate = re.fullmatch(r"MPANEL_RATE_[A-Z]+", name)
        wild = any(one.startswith(name) for one in SETTINGS) and name.endswith("_")
        assert name in SETTINGS or rate or wild, name


def test_the_search_attributes_are_those_that_jobs_have() -> None:
    text = (ROOT / "docs" / "production.md").read_text().replace("\\\n", " ")
    [told] = re.findall(r"temporal operator search-attribute create.*", text)
    assert re.findall(r"--name (\w+)", told) == list(temporal.SEARCH_ATTRIBUTES)


def test_the_help_says_nothing_twice_and_answers_for_every_command() -> None:
    """Each command's own help, as somebody sees who asks for it."""
    environment = {"PATH": os.environ["PATH"], "COLUMNS": "100"}
    code = (
        "import sys; from workers.cli import app\n"
        "for words in sys.stdin.read().splitlines():\n"
        "    try: app([*words.split(), '--help'], prog_name='mpanel')\n"
        "    except SystemExit as end: assert end.code == 0, words\n"
    )
    asked = "\n".join(" ".join(words) for words in everything(get_command(app)))
    said = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        cwd=ROOT,
        env=environment,
        input=asked,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert said.returncode == 0, said.stderr
    # An example is a line of its own, or nobody can copy it.
    assert not re.findall(r"^ *mpanel [^\n│]* mpanel [a-z].*$", said.stdout, re.M)
