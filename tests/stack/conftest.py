"""One stack for all tests of this folder; they leave it running and in order."""

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.faults.ledgers import GOLDEN, Ledgers
from tests.faults.shop import Shop
from tests.faults.stand import Stand

SETTINGS = {
    # A test asks oftener than a person.
    "MPANEL_CALL_LIMIT": "100000",
    "MPANEL_CALL_LIMIT_WEBHOOK": "100000",
    "MPANEL_DEV_FSYNC": "off",
    "MPANEL_RECONCILE_SECONDS": "2",
    "MPANEL_PAYMENTS_SECONDS": "2",
    "MPANEL_UNCLAIMED_AFTER_SECONDS": "20",
    "MPANEL_ORPHANS_SECONDS": "4",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/stack/" in str(item.path):
            item.add_marker("stack")


@pytest.fixture(scope="package")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """The stack; a test may stop it and start it again."""
    made = Stand(tmp_path_factory.mktemp("stack"), settings=SETTINGS)
    made.up()
    yield made
    made.end()


@pytest.fixture(scope="package")
def shop(stand: Stand) -> Iterator[Shop]:
    """Its people; the platform's zone is there."""
    people = Shop(stand)
    since = Ledgers(people)
    people.completed(people.bought()[1])
    since.come_to(GOLDEN + Counter({("powerdns", "zone.created"): 1}), untold=True)
    yield people
    people.close()
