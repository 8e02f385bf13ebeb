"""`mpanel user create`."""

from enum import Enum
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="People who may log in.")


@app.callback()
def users() -> None:
    """People who may log in."""


class Role(str, Enum):
    """`models.users.Role`, whose module takes half a second to load."""

    SUPER_ADMIN = "super_admin"
    ADMIN = "admin"
    OPERATOR = "operator"
    VIEWER = "viewer"


@app.command()
def create(
    email: Annotated[str, typer.Option(help="Logs in with this address.")],
    role: Annotated[Role, typer.Option(help="What the user may do.")],
    tenant: Annotated[
        str, typer.Option(help="Name of the tenant the user belongs to.")
    ] = "MigraHosting",
) -> None:
    """Create a user; the password is asked for, or read from standard input.

    **Examples**

        mpanel user create --email ops@example.com --role operator
        echo "$PASSWORD" | mpanel user create --email a@example.com --role admin
    """
    import sys

    from workers.settings import DatabaseSettings

    settings = DatabaseSettings.from_environment()
    if sys.stdin.isatty():
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\n")
    if len(password) < 12:
        typer.echo("The password needs 12 characters or more.", err=True)
        raise typer.Exit(2)

    import asyncio

    from models.errors import DomainError
    from models.seed import create_user

    url = settings.database_url.get_secret_value()
    try:
        asyncio.run(
            create_user(
                url, email=email, role=role.value, tenant=tenant, password=password
            )
        )
    except DomainError as refused:
        typer.echo(refused.message, err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{email} may log in as {role.value} of {tenant}.")
