"""`python -m workers.dev.schema`: roles, tables and the seed, in a short process.

The owner's role makes the tables; the application's role owns nothing and is bound
by row-level security. Safe to run at every start.
"""

import asyncio
import os
from urllib.parse import urlsplit

from psycopg import Connection, connect, sql

from workers.dev.layout import APP_ROLE, DATABASE, OWNER_ROLE


def make_roles(superuser_url: str, owner_url: str, app_url: str) -> None:
    """The two roles with their current passwords, and the owner's database."""
    with connect(superuser_url, autocommit=True) as connection:
        for role, url in ((OWNER_ROLE, owner_url), (APP_ROLE, app_url)):
            _put_role(connection, role, urlsplit(url).password or "")
        found = connection.execute(
            "select 1 from pg_database where datname = %s", [DATABASE]
        )
        if found.fetchone() is None:
            connection.execute(
                sql.SQL("create database {} owner {}").format(
                    sql.Identifier(DATABASE), sql.Identifier(OWNER_ROLE)
                )
            )


def _put_role(connection: Connection, role: str, password: str) -> None:
    found = connection.execute("select 1 from pg_roles where rolname = %s", [role])
    # Only the verifier is sent: a failing statement is logged with its text.
    verifier = connection.pgconn.encrypt_password(
        password.encode(), role.encode(), b"scram-sha-256"
    ).decode()
    connection.execute(
        sql.SQL(
            "{} role {} login nosuperuser nobypassrls nocreatedb nocreaterole"
            " password {}"
        ).format(
            sql.SQL("create" if found.fetchone() is None else "alter"),
            sql.Identifier(role),
            sql.Literal(verifier),
        )
    )


def main() -> None:
    """Reads its addresses from the environment the supervisor made."""
    owner_url = os.environ["MPANEL_OWNER_DATABASE_URL"]
    app_url = os.environ["MPANEL_DATABASE_URL"]
    make_roles(os.environ["MPANEL_SUPERUSER_URL"], owner_url, app_url)

    from models.migrations.run import upgrade

    upgrade(owner_url, app_role=APP_ROLE)

    from models.seed import DevSeed, seed_dev

    ssh_port = int(os.environ["MPANEL_HOSTING_SSH_PORT"])
    seed = DevSeed(
        database_url=app_url,
        admin_email=os.environ["MPANEL_ADMIN_EMAIL"],
        admin_password=os.environ["MPANEL_ADMIN_PASSWORD"],
        server_name="srv1",
        server_host="127.0.0.1",
        server_ssh_port=ssh_port,
        server_host_key=os.environ["MPANEL_HOSTING_HOST_KEY"],
        server_http_address=f"127.0.0.1:{os.environ['MPANEL_HOSTING_HTTP_PORT']}",
        server_public_ip="127.0.0.1",
        server_capacity=10_000,
    )
    asyncio.run(seed_dev(seed))


if __name__ == "__main__":
    main()
