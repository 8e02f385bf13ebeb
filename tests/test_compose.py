"""`temporal-dev/compose.yaml`, as far as it can be known without a container engine."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.settings import ApiSettings
from models.logs import LogSettings
from models.settings import PREFIX, Settings
from workers.dev import temporal
from workers.settings import DatabaseSettings, MigrateSettings, WorkerSettings
from workflows.engine.search import KEYS

FOLDER = Path(__file__).parents[1] / "temporal-dev"
TEXT = (FOLDER / "compose.yaml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
READS: dict[str, tuple[type[Settings], ...]] = {
    "migrate": (MigrateSettings,),
    "setup": (DatabaseSettings,),
    "worker": (WorkerSettings, LogSettings),
    "api": (ApiSettings, LogSettings),
}
TOLD = re.compile(r"\$\{(\w+):(\?|-)\}")


def dynamic_settings() -> dict[str, str]:
    """As the embedded server is started with them."""
    flags = temporal.dynamic_flags()[1::2]
    return dict(flag.split("=", 1) for flag in flags)


def as_told(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_is_pinned_and_waited_for(name: str) -> None:
    service = SERVICES[name]
    image = service["image"]
    assert image == "mpanel:local" or re.search(r":\d+\.\d+(\.\d+)?(-\w+)?$", image)
    assert "healthcheck" in service or "depends_on" in service
    for other, wanted in service.get("depends_on", {}).items():
        condition = wanted["condition"]
        if condition == "service_healthy":
            assert "healthcheck" in SERVICES[other], f"{name} waits for {other} in vain"
        else:
            assert condition == "service_completed_successfully"
            assert SERVICES[other]["restart"].startswith("on-failure")


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_is_published_beyond_this_machine(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert port.startswith("127.0.0.1:"), port
    assert "network_mode" not in SERVICES[name]


@pytest.mark.parametrize("name", READS)
def test_our_processes_are_told_what_their_settings_are_called(name: str) -> None:
    fields = {
        PREFIX + field.upper(): what.is_required()
        for kind in READS[name]
        for field, what in kind.model_fields.items()
    }
    given = {one for one in SERVICES[name]["environment"] if one.startswith(PREFIX)}
    assert given <= set(fields)
    assert {one for one, required in fields.items() if required} <= given


def test_no_secret_is_in_it_and_none_has_a_default() -> None:
    secret = re.compile(r"PASSWORD|SECRET|KEY|PWD|DATABASE_URL|SMTP_URL")
    for name, service in SERVICES.items():
        for setting, value in service.get("environment", {}).items():
            if secret.search(setting) and not value.startswith("/run/secrets/"):
                assert TOLD.search(value), f"{name}: {setting} has a value of its own"
    assert "env_file" not in TEXT
    named = (FOLDER / "env.example").read_text().splitlines()
    lines = [line for line in named if line and not line.startswith("#")]
    assert {line.removesuffix("=") for line in lines} == {
        name for name, _ in TOLD.findall(TEXT)
    }
    assert all(line.endswith("=") for line in lines), "an example holds a value"


def test_a_required_setting_is_refused_when_it_is_empty() -> None:
    required = {
        PREFIX + field.upper()
        for kind in (ApiSettings, WorkerSettings)
        for field, what in kind.model_fields.items()
        if what.is_required()
    }
    for name, how in TOLD.findall(TEXT):
        assert how == "?" or name not in required, f"{name} may be left empty"


def test_the_cluster_has_the_settings_of_the_embedded_server() -> None:
    text = (FOLDER / "dynamicconfig" / "mpanel.yaml").read_text()
    there = {
        key: as_told(entry["value"]) for key, [entry] in yaml.safe_load(text).items()
    }
    assert there == dynamic_settings()
    folder = SERVICES["temporal"]["volumes"][0].split(":")[0]
    named = SERVICES["temporal"]["environment"]["DYNAMIC_CONFIG_FILE_PATH"]
    assert (FOLDER / folder / Path(named).name).is_file()


def test_the_namespace_gets_every_search_attribute() -> None:
    script = (FOLDER / "containers" / "namespace.sh").read_text()
    [names] = re.findall(r"^for name in (.*); do$", script, re.MULTILINE)
    assert names.split() == [key.name for key in KEYS]
    assert "--type Keyword" in script
    asked = SERVICES["temporal-namespace"]["environment"]["TEMPORAL_NAMESPACE"]
    for name in ("worker", "api"):
        assert SERVICES[name]["environment"]["TEMPORAL_NAMESPACE"] == asked


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_exists(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source = volume.split(":")[0]
        here = (FOLDER / source).exists() if source.startswith(".") else None
        assert here or source in COMPOSE["volumes"], source
    for one in SERVICES[name].get("secrets", []):
        assert one in COMPOSE["secrets"]


def test_what_the_image_copies_exists_and_is_let_in() -> None:
    root = FOLDER.parent
    let_in = {
        line[1:]
        for line in (FOLDER / "Containerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = {
        word
        for line in (FOLDER / "Containerfile").read_text().splitlines()
        if line.startswith("COPY ")
        for word in line.split()[1:-1]
    }
    assert copied == let_in
    assert all((root / name).exists() for name in copied)
    assert (root / SERVICES["api"]["build"]["dockerfile"]).is_file()
