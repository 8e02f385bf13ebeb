"""A deploy must understand the runs that are under way: each recorded path replays."""

import json
import re
from collections.abc import Sequence

import pytest
from temporalio import workflow
from temporalio.worker import Replayer

from tests.workflows import histories
from tests.workflows.paths import PATHS
from tests.workflows.pod_paths import POD_PATHS
from tests.workflows.stories import Reordered
from tests.world import World
from workflows.engine.plugin import engine_plugin
from workflows.registry import WORKFLOWS

WALKS = {**PATHS, **POD_PATHS}
# The last is any machine's path.
_PRIVATE = re.compile(
    r"[\w.+-]+@[\w-]+\.\w|(?i:passw)|sk_(?:test|live)|whsec_|(?<!\w)/\w+/"
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every path, and every history that was kept from an earlier version."""
    if "path" in metafunc.fixturenames:
        metafunc.parametrize("path", sorted({*WALKS, *histories.names()}))


@pytest.fixture
def recording(request: pytest.FixtureRequest, path: str) -> World | None:
    """A world to walk the path in, if `--record-histories` was given."""
    if not request.config.getoption("--record-histories"):
        return None
    world: World = request.getfixturevalue("pods" if path in POD_PATHS else "here")
    return world


async def test_each_recorded_path_replays(path: str, recording: World | None) -> None:
    if recording is not None and path in WALKS:
        await histories.record(recording, await WALKS[path](recording), path)

    await replayed(path)


def test_every_workflow_has_a_history() -> None:
    recorded = {name.partition(".")[0] for name in histories.names()}

    assert recorded == {_name(story) for story in WORKFLOWS}
    assert set(WALKS) <= set(histories.names())


async def test_a_reordered_story_is_noticed() -> None:
    swapped = [
        Reordered if _name(one) == _name(Reordered) else one for one in WORKFLOWS
    ]

    with pytest.raises(workflow.NondeterminismError):
        await replayed("ProvisionWebsite.delivered", swapped)


@pytest.mark.parametrize("name", histories.names())
def test_a_history_holds_nothing_private(name: str) -> None:
    told = json.loads((histories.FOLDER / f"{name}.json").read_text())

    assert [text for text in histories.texts(told) if _PRIVATE.search(text)] == []


async def replayed(path: str, stories: Sequence[type] = WORKFLOWS) -> None:
    replayer = Replayer(workflows=stories, plugins=[engine_plugin()])
    await replayer.replay_workflow(histories.read(path))


def _name(story: type) -> str:
    definition = workflow._Definition.must_from_class(story)
    assert definition.name is not None
    return definition.name
