"""`mpanel audit verify` and `anchor`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from workers.anchors import Anchor
    from workers.audit import Verdict

app = typer.Typer(no_args_is_help=True, help="Is the audit log as it was written?")


@app.command()
def verify(
    anchor: Annotated[
        Path | None,
        typer.Option(
            help="A file of anchors: also tells of a chain that was rewritten as a"
            " whole, or cut together with its head.",
            dir_okay=False,
            exists=True,
        ),
    ] = None,
) -> None:
    """Read every row of the audit log and name each that was tampered with.

    Ends with 1 if one was. Reads MPANEL_DATABASE_URL, with **--anchor** also
    MPANEL_ENCRYPTION_KEYS.

    **Examples**

        mpanel audit verify
        mpanel audit verify --anchor /mnt/worm/anchors
    """
    import asyncio

    from models.database import Database
    from workers import audit
    from workers.settings import DatabaseSettings

    settings = DatabaseSettings.from_environment()
    anchors, refused = _anchors(anchor) if anchor else ([], [])

    async def look() -> "Verdict":
        db = Database(settings.database_url.get_secret_value(), pool_size=1)
        try:
            return await audit.verify(db, anchors)
        finally:
            await db.close()

    verdict = asyncio.run(look())
    for number in refused:
        typer.echo(f"{anchor}: line {number} is no anchor that we signed", err=True)
    for fault in verdict.faults:
        typer.echo(f"tenant {fault.tenant_id} row {fault.seq}: {fault.what}")
    typer.echo(
        f"{verdict.rows} rows of {verdict.tenants} tenants were read,"
        f" {len(anchors)} anchors held against them: "
        + (f"{len(verdict.faults)} faults" if verdict.faults else "all as written")
    )
    raise typer.Exit(1 if verdict.faults or refused else 0)


@app.command("anchor")
def write_anchor(
    file: Annotated[
        Path | None,
        typer.Argument(help="Append to this file. Default: print.", dir_okay=False),
    ] = None,
) -> None:
    """Sign where the audit log ends now, to be kept outside of the database.

    Reads MPANEL_DATABASE_URL and MPANEL_ENCRYPTION_KEYS. The worker does the same once
    a day if MPANEL_AUDIT_ANCHOR_FILE names a file.

    **Examples**

        mpanel audit anchor
        mpanel audit anchor /mnt/worm/anchors
    """
    import asyncio

    from models.database import Database
    from workers import anchors
    from workers.settings import VaultSettings

    settings = VaultSettings.from_environment()

    async def sign() -> str:
        db = Database(settings.database_url.get_secret_value(), pool_size=1)
        try:
            return await anchors.sign(db, settings.vault)
        finally:
            await db.close()

    line = asyncio.run(sign())
    if file is None:
        typer.echo(line)
    else:
        anchors.append(file, line)


def _anchors(file: Path) -> "tuple[list[Anchor], list[int]]":
    """Those that we signed, and the numbers of the other lines."""
    from workers import anchors
    from workers.settings import VaultSettings

    settings = VaultSettings.from_environment()
    return anchors.read(file.read_text(errors="replace").splitlines(), settings.vault)
