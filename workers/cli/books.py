"""`mpanel doctor --money` and `--orphans`: our rows against the providers' own."""

import asyncio
import json as as_json
import sys
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import timedelta
from functools import partial
from typing import TypeVar

from rich.markup import escape
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from activities.errors import ProviderError
from activities.gate import OpenGate
from activities.providers.powerdns import PowerDns
from activities.providers.stripe import StripeAccount
from models.base import utc_now
from models.database import Database
from models.money import to_decimal
from models.servers import Server
from workers.cli.terminal import printer
from workers.clients import CloudPanels, cluster_of
from workers.dev.errors import StackError
from workers.drift import marked
from workers.gates import AccountGates
from workers.money import Books, books
from workers.orphans import Listings, Orphans, Report
from workers.settings import WorkerSettings

Found = TypeVar("Found")


def money(days: int, *, json: bool) -> int:
    """The exit code: 0 if every cent has its place."""
    sums = _looked(lambda settings, db: _books(settings, db, days))
    if json:
        told = {**vars(sums), "balanced": sums.balanced}
        sys.stdout.write(f"{as_json.dumps(told, indent=2)}\n")
    else:
        _show(sums)
    return 0 if sums.balanced else 1


def orphans(*, json: bool) -> int:
    """The exit code: 0 if everything under our mark is ours, 1 if not, 2 if of those
    who could be asked it is, and others could not."""
    found = _looked(_orphans)
    if json:
        told = {
            "orphans": [vars(each) for each in found.orphans],
            "unasked": [{"who": one.who, "why": one.why} for one in found.unasked],
        }
        sys.stdout.write(f"{as_json.dumps(told, indent=2)}\n")
    else:
        _show_orphans(found)
    return 1 if found.orphans else 2 if found.unasked else 0


def _looked(look: Callable[[WorkerSettings, Database], Awaitable[Found]]) -> Found:
    """What was found. Raises `StackError` if somebody cannot be asked."""
    settings = WorkerSettings.from_environment()
    try:
        return asyncio.run(_with_database(settings, look))
    except ProviderError as error:
        raise StackError(f"cannot look: {error}. `mpanel doctor` tells more.") from None
    except SQLAlchemyError as error:
        raise StackError(
            f"cannot look: the database answers with {type(error).__name__}."
            " `mpanel doctor` tells more."
        ) from None


async def _with_database(
    settings: WorkerSettings,
    look: Callable[[WorkerSettings, Database], Awaitable[Found]],
) -> Found:
    db = Database(settings.database_url.get_secret_value(), pool_size=1)
    try:
        return await look(settings, db)
    finally:
        await db.close()


async def _books(settings: WorkerSettings, db: Database, days: int) -> Books:
    stripe = StripeAccount(
        settings.stripe_api_key.get_secret_value(),
        api_base=settings.stripe_api_base,
        gate=OpenGate(),
    )
    since = utc_now() - timedelta(days=days)
    young = utc_now() - timedelta(seconds=2 * settings.unclaimed_after_seconds)
    async with aclosing(stripe):
        payments = await stripe.succeeded_since(since)
        ask = stripe.payment
        return await books(db, payments, since=since, young=young, ask=ask)


async def _orphans(settings: WorkerSettings, db: Database) -> Report:
    names = PowerDns(
        settings.powerdns_url,
        settings.powerdns_api_key.get_secret_value(),
        gate=OpenGate(),
    )
    panels = CloudPanels(settings, AccountGates(db))
    cluster = cluster_of(settings, AccountGates(db))

    async def site_users(server: Server) -> list[str]:
        return await panels.of(server).site_users()

    async with aclosing(names), aclosing(panels), aclosing(cluster):
        listings = Listings(site_users, names.ours, partial(marked, db, cluster))
        return await Orphans(db, listings, every=0).report()


def _show(sums: Books) -> None:
    console = printer()
    table = Table(show_header=False, box=None)
    for label, cents in (
        ("succeeded at Stripe", sums.succeeded),
        ("claimed by orders", sums.claimed),
        ("claimed by invoices", sums.invoiced),
        ("refunded", sums.refunded),
        ("listed as unclaimed", sums.listed),
        ("too young to tell", sums.waiting),
        ("of claimed: given back by hand", sums.by_hand),
    ):
        table.add_row(label, f"{to_decimal(cents):>12}")
    console.print(table)
    for fault in sums.faults:
        console.print(f"[red]✗[/] {fault}")
    if sums.balanced:
        console.print("[green]✓[/] every cent has its place")
    else:
        console.print(
            "Look at each payment above in Stripe's dashboard; an unclaimed one is made"
            " into an order or a refund at POST /api/payments/unclaimed/{id}/..."
        )


def _show_orphans(found: Report) -> None:
    console = printer()
    for one in found.unasked:
        told = escape(f"{one.who} could not be asked for everything: {one.why}")
        console.print(f"[red]✗[/] {told}")
    if not found.orphans:
        if not found.unasked:
            console.print("[green]✓[/] everything under our mark is in our ledger")
        return
    table = Table("mark", "what is there", box=None)
    for orphan in found.orphans:
        table.add_row(orphan.mark, orphan.what)
    console.print(table)
    console.print(
        f"[red]✗[/] {len(found.orphans)} carry our mark, and no effect of ours explains"
        " them.\nLook whose each is before you remove it: after a restore it may be a"
        " customer's live site."
    )
