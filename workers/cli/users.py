"""`mpanel user create`, `disable`, `enable` and `reset-second-factor`."""

from enum import Enum
from typing import Annotated

import typer

from workers.cli.database import in_database, refusable

Address = Annotated[str, typer.Argument(help="The address the user logs in with.")]

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
    """Create a user.

    The password is asked for, or read from standard input where there is no terminal.

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

    from models.seed import create_user

    url = settings.database_url.get_secret_value()
    refusable(
        create_user(url, email=email, role=role.value, tenant=tenant, password=password)
    )
    typer.echo(f"{email} may log in as {role.value} of {tenant}.")


@app.command()
def disable(email: Address) -> None:
    """End a user's logins at once, and let them in no more."""
    from models.queries import users
    from models.queries.audit import SYSTEM

    in_database(lambda session: users.disable(session, SYSTEM, email))
    typer.echo(f"{email} is logged out everywhere and cannot log in.")


@app.command()
def enable(email: Address) -> None:
    """Let a user in again who was disabled."""
    from models.queries import users
    from models.queries.audit import SYSTEM

    in_database(lambda session: users.enable(session, SYSTEM, email))
    typer.echo(f"{email} may log in again.")


@app.command()
def reset_second_factor(email: Address) -> None:
    """Remove the authenticator app of somebody who has lost it and its codes.

    Make sure who asks: whoever knows the password sets up the next app.
    """
    from models.queries import users
    from models.queries.audit import SYSTEM

    removed = in_database(
        lambda session: users.reset_second_factor(session, SYSTEM, email)
    )
    typer.echo(
        f"{email} sets up another app at the next login."
        if removed
        else f"{email} had no second factor."
    )
