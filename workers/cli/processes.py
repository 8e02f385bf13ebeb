"""`mpanel api`, `worker`, `migrate`: the processes of production."""

import os
import sys
from typing import Annotated

import typer


def api(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
) -> None:
    """Serve the HTTP API.

    Settings come from the environment (MPANEL_DATABASE_URL, MPANEL_SECRET_KEY, ...;
    Temporal from TEMPORAL_ADDRESS). A missing one is named.

    **Example**

        mpanel api --port 8000
    """
    # A program of its own: nothing of the workers is loaded beside the API.
    arguments = ["--host", host, "--port", str(port)]
    command = [sys.executable, "-m", "api", *arguments]
    os.execv(command[0], command)  # noqa: S606


def worker(
    queues: Annotated[
        list[str] | None,
        typer.Argument(help="Task queues to serve. Default: all.", show_default=False),
    ] = None,
) -> None:
    """Run workflows and activities.

    One process may serve every queue; several may share one. SIGTERM lets running
    steps end first.

    **Examples**

        mpanel worker
        mpanel worker hosting powerdns      only these two queues
    """
    from workflows.queues import ALL

    if unknown := set(queues or ()) - set(ALL):
        typer.echo(f"no queue {', '.join(unknown)}: want {', '.join(ALL)}", err=True)
        raise typer.Exit(2)

    from workers.settings import WorkerSettings

    settings = WorkerSettings.from_environment()

    from models.logs import LogSettings, configure

    configure(LogSettings.from_environment())

    import uvloop

    from workers.run import main
    from workflows.engine.runtime import use_our_logs

    use_our_logs()

    uvloop.run(main(settings, tuple(queues or ())))


def migrate() -> None:
    """Bring the database's tables up to date, as their owner.

    Reads MPANEL_OWNER_DATABASE_URL; safe to run again and from several machines.
    """
    from workers.settings import MigrateSettings

    settings = MigrateSettings.from_environment()

    from models.migrations.run import upgrade

    upgrade(settings.owner_database_url.get_secret_value(), app_role=settings.app_role)
    typer.echo("The tables are up to date.")
