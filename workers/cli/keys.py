"""`mpanel key create`, `list` and `revoke`."""

from enum import Enum
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from workers.cli.database import in_database

if TYPE_CHECKING:
    from models.database import Session

app = typer.Typer(no_args_is_help=True, help="API keys: what programs call with.")


class Scope(str, Enum):
    """`models.api_keys.Scope`, whose module takes half a second to load."""

    READ = "read"
    DECIDE = "decide"
    ABORT = "abort"
    ORDERS_WRITE = "orders:write"
    UNLIMITED = "unlimited"


@app.command()
def create(
    name: Annotated[str, typer.Option(help="What the key is for.")],
    scope: Annotated[list[Scope], typer.Option(help="What it may; more than one.")],
    tenant: Annotated[
        str, typer.Option(help="Name of the tenant the key belongs to.")
    ] = "MigraHosting",
    days: Annotated[
        int | None,
        typer.Option(min=1, max=3650, help="Ends after so many days. Default: never."),
    ] = None,
) -> None:
    """Make a key and print it, this once.

    Only its hash is kept.

    **Examples**

        mpanel key create --name shop --scope orders:write
        mpanel key create --name reports --scope read --days 90
    """

    async def make(session: "Session") -> str:
        from datetime import timedelta

        from models import api_keys as rows
        from models.base import utc_now
        from models.queries import api_keys, audit, tenants

        found = await tenants.by_name(session, tenant)
        row, key = await api_keys.create(
            session,
            audit.SYSTEM,
            tenant_id=found.id,
            name=name,
            scopes=[rows.Scope(one.value) for one in scope],
            expires_at=utc_now() + timedelta(days=days) if days else None,
        )
        return f"{key}\n{row.id} of {tenant} may {', '.join(row.scopes)}."

    typer.echo(in_database(make))


@app.command("list")
def list_keys() -> None:
    """Print every tenant's keys that are good for something, newest first."""

    async def read(session: "Session") -> list[str]:
        from models.queries import api_keys

        return [
            f"{row.id}  {row.shown_as}  {row.name}  {','.join(row.scopes)}  last used:"
            f" {f'{row.last_used_at:%F %H:%M}' if row.last_used_at else 'never'}"
            for row in await api_keys.good(session)
        ]

    for line in in_database(read):
        typer.echo(line)


@app.command()
def revoke(key_id: Annotated[UUID, typer.Argument(help="As `list` shows it.")]) -> None:
    """End a key, for good and at once."""

    async def end(session: "Session") -> str:
        from models.queries import api_keys, audit

        row = await api_keys.revoke(session, audit.SYSTEM, key_id)
        return f"{row.shown_as} {row.name} is revoked."

    typer.echo(in_database(end))
