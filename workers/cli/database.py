"""What chores do in the database: one transaction, and refusals in plain words."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, TypeVar

import typer

if TYPE_CHECKING:
    from models.database import Session

Result = TypeVar("Result")


def in_database(act: "Callable[[Session], Awaitable[Result]]") -> Result:
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

    return refusable(done())


def refusable(act: Coroutine[None, None, Result]) -> Result:
    """Runs it; a refusal is said without a traceback."""
    import asyncio

    from sqlalchemy.exc import IntegrityError

    from models.errors import DomainError

    try:
        return asyncio.run(act)
    except DomainError as refused:
        told = refused.message
    except IntegrityError:
        told = "there is such a one already; nothing was changed"
    typer.echo(told, err=True)
    raise typer.Exit(1)
