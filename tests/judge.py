"""The judges of every bad day: the simulators' ledgers and the money identity."""

from collections import Counter
from datetime import timedelta

from models.base import utc_now
from tests.dev.program import PATIENT
from tests.world import World
from workers.money import Books, books

# What one order of WP Growth with daily backups leaves at the providers.
OF_ONE_ORDER = Counter(
    {
        ("hosting", "site.created"): 1,
        ("hosting", "file.deployed"): 1,
        ("powerdns", "record.put"): 1,
    }
)
SHARED = {("powerdns", "zone.created"): 1}


async def tally(world: World) -> Counter[tuple[str, str]]:
    """How often each effect happened, the payments themselves left out."""
    counted: Counter[tuple[str, str]] = Counter()
    for provider in ("hosting", "powerdns", "backup_store"):
        for effect, _ in await world.effects(provider):
            counted[(provider, effect)] += 1
    for effect, _ in await world.effects("stripe"):
        if effect.startswith("refund"):
            counted[("stripe", effect)] += 1
    return counted


async def golden(world: World, *, orders: int) -> None:
    """The ledgers hold exactly what so many undisturbed orders leave."""
    expected = Counter(
        {key: count * orders for key, count in OF_ONE_ORDER.items()} | SHARED
    )
    assert await tally(world) == expected


async def balanced(world: World, *, within: float = PATIENT) -> Books:
    """The money identity holds, to the cent; what is under way may end before."""
    return await world.until(
        lambda: summed(world), lambda sums: sums.balanced, within=within
    )


async def summed(world: World) -> Books:
    """The books as they are now, balanced or not."""
    since = utc_now() - timedelta(days=30)
    payments = await world.wired.stripe.succeeded_since(since)
    return await books(world.db, payments, since=since)
