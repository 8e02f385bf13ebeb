"""A 429 closes an account for every process, and for no longer than it said."""

import time

import pytest

from activities.errors import ProviderBlocked
from models.database import Database
from workers.gates import AccountGates

ACCOUNT = "stripe:1234"


async def test_a_closed_account_is_closed_for_every_process(db: Database) -> None:
    told, other = AccountGates(db), AccountGates(db)

    await told.of(ACCOUNT).throttled(300)
    await other.of(ACCOUNT).enter()  # it has not heard of it yet
    await other.refresh()

    for gates in (told, other):
        with pytest.raises(ProviderBlocked) as blocked:
            await gates.of(ACCOUNT).enter()
        assert 200 < blocked.value.retry_after <= 300
    await told.of("stripe:9999").enter()


async def test_a_shorter_wait_does_not_shorten_a_longer_one(db: Database) -> None:
    told, other = AccountGates(db), AccountGates(db)

    await told.close(ACCOUNT, 300)
    await other.close(ACCOUNT, 1)

    assert told.rest(ACCOUNT) > 200
    await other.refresh()
    assert other.rest(ACCOUNT) > 200


async def test_it_opens_by_itself(db: Database) -> None:
    gates = AccountGates(db)
    await gates.close(ACCOUNT, 3)
    rest = gates.rest(ACCOUNT)
    assert 0 < rest <= 3

    time.sleep(rest + 0.01)  # noqa: ASYNC251 - nothing else has to happen for it

    await gates.of(ACCOUNT).enter()


async def test_after_a_restart_it_is_still_closed(db: Database) -> None:
    await AccountGates(db).close(ACCOUNT, 300)

    born_later = AccountGates(db)
    await born_later.refresh()

    assert born_later.rest(ACCOUNT) > 200
