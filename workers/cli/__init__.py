"""`mpanel`: the stack, its processes and its chores. Each command imports late."""

from typing import Any

import typer
from typer.core import TyperGroup

from workers.cli import (
    audit,
    demo,
    dev,
    doctor,
    inbox,
    keys,
    login,
    machines,
    nodes,
    processes,
    settings,
    users,
)


class _Commands(TyperGroup):
    """Says what is wrong and what to do next, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        from models.settings import SettingsRefused
        from workers.dev.errors import PartFailed, StackError

        try:
            return super().invoke(ctx)
        except SettingsRefused as refused:
            typer.echo(f"{refused}\nNothing was started.", err=True)
            raise typer.Exit(2) from None
        except PartFailed as failed:
            typer.echo(f"\n{failed.log}\n\n{failed}: see above.", err=True)
            raise typer.Exit(failed.exit_code) from None
        except StackError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(error.exit_code) from None
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            if (told := _of_database(error)) is None:
                raise
            typer.echo(told, err=True)
            raise typer.Exit(2) from None


def _of_database(error: Exception) -> str | None:
    """What it says, if it is away, lets nobody in or has no tables yet."""
    from sqlalchemy.exc import OperationalError, ProgrammingError

    from models.redaction import redacted

    if not isinstance(error, OperationalError | ProgrammingError):
        return None
    said = redacted(str(error.orig)).rstrip(".?")
    return f"The database refuses, or is away: {said}. `mpanel doctor` tells more."


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""The back end of a web-hosting company.

    Start with **mpanel demo**: the whole stack, one paid order, its live website.
    **mpanel dev** keeps the same stack running while you work on it.
    **mpanel login**, then **mpanel inbox**: what waits for a person, and why.
    """,
)
app.command("dev")(dev.dev)
app.add_typer(demo.app, name="demo")
app.command("api")(processes.api)
app.command("worker")(processes.worker)
app.command("migrate")(processes.migrate)
app.command("setup")(machines.setup)
app.command("doctor")(doctor.doctor)
app.command("settings")(settings.settings)
app.command("login")(login.login)
app.command("logout")(login.logout)
app.add_typer(inbox.app, name="inbox")
nodes.app.command("add")(machines.add_node)
nodes.app.command("remove")(machines.remove)
app.add_typer(nodes.app, name="node")
app.add_typer(audit.app, name="audit")
app.add_typer(keys.app, name="key")
app.add_typer(users.app, name="user")
app.add_typer(machines.servers, name="server")
app.add_typer(machines.pools, name="pool")
