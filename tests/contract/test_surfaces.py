"""Every documented endpoint answers as its document shows, or is listed as not built.

`not_built.txt` may only shrink.
"""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from models.database import Database
from models.users import Role
from tests.api.conftest import LogIn
from tests.contract import recipes, shape

ENTRIES = shape.load()
NOT_BUILT = Path(__file__).with_name("not_built.txt")
SURFACES = sorted({entry["surface"] for entry in ENTRIES})

# Where our truth is more careful than an example that no document gave.
NULL_AT_FIRST = {"provisioning.websites.create": {"serverId"}}


def template(path: str) -> str:
    """A path whose parameters have no names."""
    return re.sub(r"\{[^}]*\}", "{}", path)


def built(app: FastAPI, entry: dict[str, Any]) -> bool:
    """Whether the app serves this endpoint."""
    served = {
        (method.upper(), template(path))
        for path, methods in app.openapi()["paths"].items()
        for method in methods
    }
    return (entry["method"], template(entry["path"])) in served


def test_the_list_of_what_is_not_built_is_exact(app: FastAPI) -> None:
    listed = NOT_BUILT.read_text().split()
    missing = [entry["id"] for entry in ENTRIES if not built(app, entry)]

    assert listed == missing


@pytest.mark.parametrize("surface", SURFACES)
async def test_what_is_built_answers_as_documented(
    app: FastAPI, db: Database, log_in: LogIn, surface: str
) -> None:
    world, admin = await recipes.populate(db), await log_in(Role.ADMIN)
    wrong: dict[str, list[str]] = {}
    for entry in ENTRIES:
        if entry["surface"] == surface and built(app, entry):
            response = await recipes.call(entry, admin, world)
            if found := differences(entry, response):
                wrong[entry["id"]] = found

    assert wrong == {}


def differences(entry: dict[str, Any], response: httpx.Response) -> list[str]:
    """What is not as documented: the status, and the structure of the body."""
    if response.status_code != entry["status"]:
        return [f"expected {entry['status']}, got {response.status_code}"]
    if entry["response"] is None:
        return [f"expected no body, got {response.text}"] if response.content else []
    example = dict(entry["response"])
    for name in NULL_AT_FIRST.get(entry["id"], set()):
        example[name] = None
    return shape.mismatches(example, response.json())
