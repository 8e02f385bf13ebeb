"""`mpanel settings`: what can be set, read from the classes that read it."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from models.settings import Setting

# What is no field: read by the SDK, by name, or by a development stack alone.
ALSO = (
    ("MPANEL_RATE_<QUEUE>", "worker", "so many steps a second of a queue, over all"),
    ("MPANEL_LOGIN_FILE", "login, inbox", "where the tokens of a login are kept"),
    ("MPANEL_DATA_DIR", "dev, demo", "folder of a development stack"),
    ("MPANEL_DEV_FSYNC", "dev, demo", "off: PostgreSQL may lose what it said it has"),
    ("PG_BIN", "dev, demo", "folder of PostgreSQL's programs"),
    ("TEMPORAL_ADDRESS", "api, worker", "host:port of Temporal; required"),
    ("TEMPORAL_NAMESPACE", "api, worker", "its namespace (default)"),
    ("TEMPORAL_API_KEY", "api, worker", "for Temporal Cloud"),
    ("TEMPORAL_TLS", "api, worker", "true: speak TLS"),
    ("TEMPORAL_TLS_SERVER_CA_CERT_PATH", "api, worker", "who signed its certificate"),
    ("TEMPORAL_TLS_CLIENT_CERT_PATH", "api, worker", "our certificate, for mutual TLS"),
    ("TEMPORAL_TLS_CLIENT_KEY_PATH", "api, worker", "and its key"),
    ("TEMPORAL_CONFIG_FILE", "api, worker", "a file of profiles instead of all these"),
)


def settings(
    json: Annotated[
        bool, typer.Option("--json", help="For programs: one JSON document.")
    ] = False,
) -> None:
    """Print every setting: who reads it, its default, and what it means.

    Read from the environment, and nothing here needs one. No value is shown that
    somebody has set.

    **Examples**

        mpanel settings
        mpanel settings | grep -A1 required
    """
    told = _told()
    if json:
        import json as as_json

        typer.echo(as_json.dumps({"settings": told}, indent=2))
        return
    for one in told:
        state = "required" if one["required"] else one["default"] or "-"
        typer.echo(f"{one['name']:<34} {', '.join(one['readBy'])}: {state}")
        typer.echo(f"    {one['purpose']}")


def _told() -> list[dict[str, Any]]:
    from dataclasses import asdict

    from models.settings import Setting

    found: dict[str, tuple[Setting, list[str]]] = {}
    for process, described in _by_process():
        for one in described:
            found.setdefault(one.name, (one, []))[1].append(process)
    told = [
        {**asdict(one), "readBy": readers}
        for _, (one, readers) in sorted(found.items())
    ]
    also = [
        {**asdict(Setting(name, purpose, False, None)), "readBy": readers.split(", ")}
        for name, readers, purpose in ALSO
    ]
    return told + also


def _by_process() -> "list[tuple[str, list[Setting]]]":
    import json
    import subprocess
    import sys

    from models.logs import LogSettings
    from models.settings import Setting
    from workers.settings import MigrateSettings, WorkerSettings

    # The web process tells its own: nothing of it is loaded beside the workers.
    answer = subprocess.run(
        [sys.executable, "-m", "api", "--settings"], check=True, capture_output=True
    )
    logs = list(LogSettings.described())
    of_api = [Setting(**one) for one in json.loads(answer.stdout)]
    return [
        ("api", of_api + logs),
        ("worker", [*WorkerSettings.described(), *logs]),
        ("migrate", list(MigrateSettings.described())),
    ]
