"""Recorded histories: what Temporal hands to a worker that takes over a run."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from temporalio.client import WorkflowHistory

from tests.world import World

FOLDER = Path(__file__).parents[1] / "histories"
# Of the machine that recorded, and of no meaning to a replay.
_LOCAL = frozenset({"identity", "stackTrace", "binaryChecksum", "buildId"})


async def record(here: World, run: str, name: str) -> None:
    """Writes the history of the run, one event a line."""
    history = await here.client.get_workflow_handle(run).fetch_history()
    recorded = {"workflowId": run, "events": _plain(history.to_json_dict()["events"])}
    lines = ",\n".join(json.dumps(event) for event in recorded["events"])
    (FOLDER / f"{name}.json").write_text(
        f'{{"workflowId": {json.dumps(run)}, "events": [\n{lines}\n]}}\n'
    )


def read(name: str) -> WorkflowHistory:
    """The history of that name."""
    told = json.loads((FOLDER / f"{name}.json").read_text())
    return WorkflowHistory.from_json(told["workflowId"], told)


def names() -> list[str]:
    """Of all that are recorded, of earlier versions too."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def texts(value: Any) -> Iterator[str]:
    """Every string in a history, payloads decoded."""
    match value:
        case {"metadata": _, "data": str(data)}:
            yield base64.b64decode(data).decode()
        case dict():
            for each in value.values():
                yield from texts(each)
        case list():
            for each in value:
                yield from texts(each)
        case str():
            yield value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: "" if key in _LOCAL else _plain(each) for key, each in value.items()
        }
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value
