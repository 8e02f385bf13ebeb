"""A commit or a call to Temporal is done, and its reply never comes: whoever waited for
it tries again, and nothing is lost or done twice."""

import random
import time

import pytest

from tests.faults.conftest import Tell
from tests.faults.ledgers import GOLDEN, Ledgers, delivered, paid_and_told
from tests.faults.proxies import Door, Doors
from tests.faults.shop import Shop
from tests.faults.stand import Stand
from tests.faults.test_kills import WITHIN, all_is_well


def replies_of_one_order(shop: Shop, door: Door) -> int:
    """How many replies pass in an undisturbed run, background work included."""
    since = Ledgers(shop)
    before = door.seen
    paid = paid_and_told(shop, since)
    delivered(shop, paid, shop.completed(shop.order(paid)))
    since.come_to(GOLDEN, untold=True)
    return door.seen - before


def lose(nth: int, shop: Shop, door: Door, tell: Tell) -> bool:
    """One order, in whose course one reply is lost. False: so many were not made."""
    since = Ledgers(shop)
    began = time.monotonic()
    door.cut(nth)
    paid = paid_and_told(shop, since)
    order = shop.completed(shop.order(paid, within=WITHIN), within=WITHIN)
    since.come_to(GOLDEN, untold=True)
    took, lost = time.monotonic() - began, door.done
    door.spare()
    delivered(shop, paid, order)
    tell(f"{took:5.1f} s  reply {nth} {'lost' if lost else 'never came'}")
    return lost


@pytest.mark.timeout(600)
@pytest.mark.parametrize("store", ["postgres", "temporal"])
def test_any_reply_may_be_lost(
    store: str,
    shop: Shop,
    stand: Stand,
    doors: Doors,
    draw: random.Random,
    tell: Tell,
) -> None:
    door: Door = getattr(doors, store)
    count = replies_of_one_order(shop, door)
    sample = sorted(draw.sample(range(1, count + 1), 2))
    tell(f"{store}: {sample} of {count} replies")
    whole = Ledgers(shop)
    lost = [lose(nth, shop, door, tell) for nth in sample]
    # Background work differs from run to run, so that a late one may not come.
    assert any(lost)
    all_is_well(stand, whole, orders=len(sample))


@pytest.mark.faults
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("store", ["postgres", "temporal"])
def test_every_reply_is_lost_once(
    store: str, shop: Shop, stand: Stand, doors: Doors, tell: Tell
) -> None:
    door: Door = getattr(doors, store)
    count = replies_of_one_order(shop, door)
    tell(f"{store}: each of {count} replies")
    whole = Ledgers(shop)
    lost = [lose(nth, shop, door, tell) for nth in range(1, count + 1)]
    assert sum(lost) > 0.8 * count
    all_is_well(stand, whole, orders=count)
