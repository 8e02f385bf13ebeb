"""`mpanel settings`: every setting, as the classes that read it tell it."""

import json
import os
import subprocess
import sys
from typing import Any

from api.settings import ApiSettings
from models.settings import PREFIX
from workers.settings import MigrateSettings, WorkerSettings

PLANTED = "planted-" + "x" * 32


def told(*words: str) -> str:
    """Its answer to somebody who has set a secret."""
    return subprocess.run(
        [sys.executable, "-m", "workers.cli", "settings", *words],
        check=True,
        env={"PATH": os.environ["PATH"], "MPANEL_SECRET_KEY": PLANTED},
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout


def test_every_setting_is_told_with_its_meaning_and_its_readers() -> None:
    rows: dict[str, Any] = {
        row["name"]: row for row in json.loads(told("--json"))["settings"]
    }
    for process, kind in (
        ("api", ApiSettings),
        ("worker", WorkerSettings),
        ("migrate", MigrateSettings),
    ):
        for name, field in kind.model_fields.items():
            row = rows[PREFIX + name.upper()]
            assert process in row["readBy"], name
            assert row["required"] == field.is_required(), name
    assert all(row["purpose"] for row in rows.values())
    assert rows["MPANEL_CALL_LIMIT"]["default"] == "100"
    assert rows["MPANEL_SECOND_FACTOR"]["default"] == "operators"
    assert rows["MPANEL_PROXMOX_TOKEN_SECRET"]["default"] is None


def test_no_value_that_somebody_has_set_is_shown() -> None:
    text = told()
    assert "MPANEL_SECRET_KEY                  api: required" in text
    assert PLANTED not in text
