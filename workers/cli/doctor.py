"""`mpanel doctor`: what is wrong, and what to do about it."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from workers.money import Books
    from workers.settings import WorkerSettings


def doctor(
    money: Annotated[
        bool,
        typer.Option(
            "--money",
            help="Hold every succeeded payment of Stripe's against our books.",
        ),
    ] = False,
    days: Annotated[
        int, typer.Option(min=1, help="How far back payments are asked for.")
    ] = 30,
) -> None:
    """Check the system and say what to do. Ends with 1 if something is wrong.

    Reads the worker's settings from the environment.

    **Example**

        mpanel doctor --money
    """
    from workers.settings import WorkerSettings

    if not money:
        typer.echo("Say what to look at: --money", err=True)
        raise typer.Exit(2)
    settings = WorkerSettings.from_environment()

    import asyncio

    sums = asyncio.run(_books(settings, days))
    _show(sums)
    raise typer.Exit(0 if sums.balanced else 1)


async def _books(settings: "WorkerSettings", days: int) -> "Books":
    from datetime import timedelta

    from activities.gate import OpenGate
    from activities.providers.stripe import StripeAccount
    from models.base import utc_now
    from models.database import Database
    from workers.money import books

    stripe = StripeAccount(
        settings.stripe_api_key.get_secret_value(),
        api_base=settings.stripe_api_base,
        gate=OpenGate(),
    )
    db = Database(settings.database_url.get_secret_value(), pool_size=1)
    try:
        since = utc_now() - timedelta(days=days)
        young = utc_now() - timedelta(seconds=2 * settings.unclaimed_after_seconds)
        payments = await stripe.succeeded_since(since)
        return await books(db, payments, since=since, young=young)
    finally:
        await stripe.aclose()
        await db.close()


def _show(sums: "Books") -> None:
    from rich.console import Console
    from rich.table import Table

    from models.money import to_decimal

    console = Console()
    table = Table(show_header=False, box=None)
    for label, cents in (
        ("succeeded at Stripe", sums.succeeded),
        ("claimed by orders", sums.claimed),
        ("claimed by invoices", sums.invoiced),
        ("refunded", sums.refunded),
        ("listed as unclaimed", sums.listed),
        ("too young to tell", sums.waiting),
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
