"""`mpanel` answers at once and says what is missing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from models.users import Role as StoredRole
from workers.cli.users import Role

MPANEL = (sys.executable, "-m", "workers.cli")
USER = ("user", "create", "--email=a@b.example", "--role=admin")
ROOT = Path(__file__).parents[2]


def run(*words: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": os.environ["PATH"], "COLUMNS": "100", **settings}
    return subprocess.run(
        words,
        check=False,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_help_teaches_every_command() -> None:
    said = run(*MPANEL, "--help")
    assert said.returncode == 0
    for command in ("dev", "demo", "api", "worker", "migrate", "user"):
        assert command in said.stdout
    assert "--data-dir /tmp/second" in run(*MPANEL, "dev", "--help").stdout


def test_the_command_line_loads_nothing_heavy() -> None:
    heavy = ["temporalio", "sqlalchemy", "pydantic", "asyncssh", "httpx", "asyncio"]
    code = f"import sys, workers.cli; print([m for m in {heavy} if m in sys.modules])"
    assert run(sys.executable, "-c", code).stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("words", "setting"),
    [
        ((*MPANEL, "worker"), "MPANEL_STRIPE_API_KEY"),
        ((*MPANEL, "migrate"), "MPANEL_OWNER_DATABASE_URL"),
        ((*MPANEL, *USER), "MPANEL_DATABASE_URL"),
        ((*MPANEL, "api"), "MPANEL_SECRET_KEY"),
    ],
)
def test_a_missing_setting_is_a_refusal_that_names_it(
    words: tuple[str, ...], setting: str
) -> None:
    said = run(*words)
    assert said.returncode == 2
    assert f"{setting} is missing: " in said.stderr
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize("words", ["migrate", "setup", "key list", "audit verify"])
def test_a_database_that_is_away_is_said_in_one_line(words: str) -> None:
    url = "postgresql://owner:its-own-password@127.0.0.1:9/mpanel"
    settings = {"MPANEL_DATABASE_URL": url, "MPANEL_OWNER_DATABASE_URL": url}
    said = run(*MPANEL, *words.split(), **settings)
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.startswith(
        "The database refuses, or is away: connection failed:"
    )
    assert said.stderr.endswith("`mpanel doctor` tells more.\n")
    assert said.stderr.count("\n") == 1
    assert "its-own-password" not in said.stderr


def test_a_wrong_secret_is_not_repeated() -> None:
    said = run(*MPANEL[:2], "api", MPANEL_SECRET_KEY="tooshortbutsecret")
    assert said.returncode == 2
    assert "MPANEL_SECRET_KEY is wrong" in said.stderr
    assert "tooshortbutsecret" not in said.stderr


def test_roles_on_the_command_line_are_those_of_the_table() -> None:
    assert [role.value for role in Role] == [role.value for role in StoredRole]
