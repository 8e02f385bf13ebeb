"""`mpanel user create`, `disable`, `enable` and `reset-second-factor`."""

from collections.abc import Awaitable, Callable, Coroutine
from enum import Enum
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from models.database import Session

Result = TypeVar("Result")
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

    from models.seed import create_user

    url = settings.database_url.get_secret_value()
    _refusable(
        create_user(url, email=email, role=role.value, tenant=tenant, password=password)
    )
    typer.echo(f"{email} may log in as {role.value} of {tenant}.")


@app.command()
def disable(email: Address) -> None:
    """End a user's logins at once, and let them in no more."""
    from models.queries import users
    from models.queries.audit import SYSTEM

    _in_database(lambda session: users.disable(session, SYSTEM, email))
    typer.echo(f"{email} is logged out everywhere and cannot log in.")


@app.command()
def enable(email: Address) -> None:
    """Let a user in again who was disabled."""
    from models.queries import users
    from models.queries.audit import SYSTEM

    _in_database(lambda session: users.enable(session, SYSTEM, email))
    typer.echo(f"{email} may log in again.")


@app.command()
def reset_second_factor(email: Address) -> None:
    """Remove the authenticator app of somebody who has lost it and its codes.

    Make sure who asks: whoever knows the password sets up the next app.
    """
    from models.queries import users
    from models.queries.audit import SYSTEM

    removed = _in_database(
        lambda session: users.reset_second_factor(session, SYSTEM, email)
    )
    typer.echo(
        f"{email} sets up another app at the next login."
        if removed
        else f"{email} had no second factor."
    )


def _in_database(act: "Callable[[Session], Awaitable[Result]]") -> Result:
    """Does it in one transaction of the platform's."""
    import models.tables  # noqa: F401 - rows refer to each other's tables
    from models.database import Database
    from workers.settings import DatabaseSettings

    settings = DatabaseSettings.from_environment()

    async def done() -> Result:
        db = Database(settings.database_url.get_secret_value(), pool_size=1)
        try:
            async with db.platform() as session:
                result = await act(session)
                await session.commit()
                return result
        finally:
            await db.close()

    return _refusable(done())


def _refusable(act: Coroutine[None, None, Result]) -> Result:
    """Runs it; a refusal is said without a traceback."""
    import asyncio

    from models.errors import DomainError

    try:
        return asyncio.run(act)
    except DomainError as refused:
        typer.echo(refused.message, err=True)
        raise typer.Exit(1) from None
