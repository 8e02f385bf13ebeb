"""`mpanel doctor`: what is wrong, and what to do about it."""

from pathlib import Path
from typing import Annotated

import typer

CANNOT_RUN = 2


def doctor(
    money: Annotated[
        bool,
        typer.Option(
            "--money",
            help="Hold every succeeded payment of Stripe's against our books.",
        ),
    ] = False,
    orphans: Annotated[
        bool,
        typer.Option(
            "--orphans",
            help="Hold what is at the providers under our mark against our ledger.",
        ),
    ] = False,
    days: Annotated[
        int,
        typer.Option(min=1, max=3650, help="How far back --money asks for payments."),
    ] = 30,
    json: Annotated[
        bool, typer.Option("--json", help="For programs: one JSON document.")
    ] = False,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            help="Examine the development stack of this data folder.",
            show_default=False,
            file_okay=False,
        ),
    ] = None,
) -> None:
    """Check everything that orders need, and say what to do.

    Settings, database, Temporal, every provider and the work that waits: one line
    each. Nothing is changed. Reads the settings of worker and API from the environment;
    what is missing is named, and the rest is looked at.

    Ends with 0 if nothing fails, 1 if something does, 2 if it cannot look.

    **Examples**

        mpanel doctor
        mpanel doctor --data-dir .mpanel     the stack that `mpanel dev` runs here
        mpanel doctor --money
        mpanel doctor --orphans --json
    """
    from workers.cli import books, checkup

    if data_dir is not None:
        from workers.dev.settings import use

        use(data_dir)
    if money:
        raise typer.Exit(books.money(days, json=json))
    if orphans:
        raise typer.Exit(books.orphans(json=json))
    raise typer.Exit(checkup.checkup(json=json))
