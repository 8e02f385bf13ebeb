"""One stack for every fault here; each is judged by what the ledgers gained in it."""

import os
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.faults.ledgers import GOLDEN, Ledgers, paid_and_told
from tests.faults.proxies import Doors
from tests.faults.shop import Shop
from tests.faults.stand import Stand

SETTINGS = {
    # A test asks oftener than a person.
    "MPANEL_CALL_LIMIT": "100000",
    "MPANEL_CALL_LIMIT_WEBHOOK": "100000",
    "MPANEL_DEV_FSYNC": "off",
    "MPANEL_RECONCILE_SECONDS": "2",
    # Looking for payments by the clock would add calls that no order makes.
    "MPANEL_PAYMENTS_SECONDS": "3600",
    "MPANEL_UNCLAIMED_AFTER_SECONDS": "600",
    "MPANEL_CLOUDPOD_HOLD_SECONDS": "0",
    "MPANEL_DRIFT_SECONDS": "1",
}
Tell = Callable[[str], None]


@pytest.fixture(scope="session")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    """What stands between our processes and their stores."""
    made = Doors(tmp_path_factory.mktemp("faults"))
    yield made
    made.close()


@pytest.fixture(scope="package")
def stand(doors: Doors) -> Iterator[Stand]:
    """A stack behind these doors, with one order delivered."""
    program = Path(__file__).with_name("behind_doors.py")
    ports = (str(doors.postgres.port), str(doors.temporal.port))
    command = (sys.executable, str(program), *ports)
    made = Stand(doors.data_dir, command, settings=SETTINGS)
    made.up()
    yield made
    made.end()


@pytest.fixture(scope="package")
def shop(stand: Stand) -> Iterator[Shop]:
    """Its people; the platform's zone is there."""
    people = Shop(stand)
    since = Ledgers(people)
    people.completed(people.order(paid_and_told(people, since)))
    since.come_to(GOLDEN + Counter({("powerdns", "zone.created"): 1}), untold=True)
    yield people
    people.close()


@pytest.fixture
def draw(tell: Tell) -> random.Random:
    """Draws a sample. MPANEL_SEED repeats a run."""
    seed = os.environ.get("MPANEL_SEED") or str(random.randrange(10**6))
    tell(f"MPANEL_SEED={seed}")
    return random.Random(seed)


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Tell:
    """A line for the person who watches."""
    capture = request.config.pluginmanager.get_plugin("capturemanager")

    def line(text: str) -> None:
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            sys.stdout.write(f"\n  {text}")
            sys.stdout.flush()
        # Of several processes nobody sees what one says, but what a failure says.
        request.node.add_report_section("call", "words", f"{text}\n")

    return line
