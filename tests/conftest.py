"""A PostgreSQL of its own for each test run, and a clean database for each test.

Tests commit for real: a shared connection with savepoints would show one session
another's rows.
"""

import base64
import contextlib
import os
import secrets
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import psycopg
import pytest
from psycopg import sql

from models.base import utc_now
from models.database import Database
from models.migrations.run import upgrade
from models.tenants import MIGRAHOSTING
from models.vault import Vault
from workers.dev import postgres as embedded
from workers.dev.folder import DataFolder
from workers.dev.layout import APP_ROLE, DATABASE, OWNER_ROLE
from workers.dev.schema import make_roles
from workers.dev.supervisor import Supervisor

PASSWORD = "for-tests-on-loopback-only"

# That a machine is busy is no finding of a property test.
hypothesis.settings.register_profile(
    "busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("busy")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record-histories",
        action="store_true",
        help="walk every path of tests/workflows/paths.py and keep its history",
    )


# Few tests that take long: begun first, so that no process waits for another's last.
LONGEST = ("faults", "stack", "workflows", "console", "dev")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole stacks first; the order within a folder stays."""

    def rank(item: pytest.Item) -> int:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        return LONGEST.index(folder) if folder in LONGEST else len(LONGEST)

    items.sort(key=rank)


@dataclass(frozen=True)
class Cluster:
    """A running PostgreSQL whose database `mpanel` is migrated and stays empty."""

    port: int

    def url(self, role: str, database: str = DATABASE) -> str:
        """Where `role` reaches `database`."""
        return f"postgresql://{role}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def clone(self, name: str) -> None:
        """A migrated, empty database of this name, made anew."""
        template, target = sql.Identifier(DATABASE), sql.Identifier(name)
        owner = sql.Identifier(OWNER_ROLE)
        admin = self.url(embedded.SUPERUSER, "postgres")
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(
                sql.SQL("drop database if exists {} with (force)").format(target)
            )
            connection.execute(
                sql.SQL("create database {} template {} owner {}").format(
                    target, template, owner
                )
            )


class _Silent:
    """Nobody watches the tests' own PostgreSQL."""

    def ready(self, name: str, seconds: float) -> None: ...

    def died(self, name: str, how: str) -> None: ...

    def keeps_dying(self, name: str, log: str) -> None: ...


@pytest.fixture(scope="session")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    folder = DataFolder(tmp_path_factory.mktemp("postgres"))
    folder.hold()
    environment = {**os.environ, "MPANEL_DEV_FSYNC": "off"}
    supervisor = Supervisor(folder.logs, _Silent(), lambda: None)
    server, made = await embedded.find(folder), Cluster(free_port())
    await server.create(supervisor, password=PASSWORD, environment=environment)
    await supervisor.start(server.server(port=made.port, environment=environment))
    make_roles(
        made.url(embedded.SUPERUSER, "postgres"),
        made.url(OWNER_ROLE),
        made.url(APP_ROLE),
    )
    upgrade(made.url(OWNER_ROLE), app_role=APP_ROLE)
    yield made
    await supervisor.stop("postgres")
    folder.release()


@pytest.fixture(scope="session")
def database_name(cluster: Cluster) -> str:
    """The name of this run's database."""
    name = f"test_{os.getpid()}"
    cluster.clone(name)
    return name


@pytest.fixture(scope="session")
def owner_url(cluster: Cluster, database_name: str) -> str:
    """The owner of the tables: truncates and migrates."""
    return cluster.url(OWNER_ROLE, database_name)


@pytest.fixture(scope="session")
def app_url(cluster: Cluster, database_name: str) -> str:
    """The application's role, bound by row-level security."""
    return cluster.url(APP_ROLE, database_name)


@pytest.fixture
async def db(
    cluster: Cluster, database_name: str, app_url: str
) -> AsyncIterator[Database]:
    """An empty database with the tenant MigraHosting in it."""
    empty(cluster.url(embedded.SUPERUSER, database_name))
    database = Database(app_url, pool_size=5)
    yield database
    await database.close()


@pytest.fixture
def standing_clock(db: Database, owner_url: str, database_name: str) -> Iterator[None]:
    """For the database no time passes between two statements: whoever is to wait for a
    second waits, however long the machine takes. Wanted before anybody connects."""
    stands = (
        "create schema still",
        f"grant usage on schema still to {APP_ROLE}",
        "create function still.clock_timestamp() returns timestamptz language sql"
        f" immutable as $$ select timestamptz '{utc_now().isoformat()}' $$",
        f"alter database {database_name} set search_path = still, pg_catalog, public",
    )
    goes_on = (
        f"alter database {database_name} reset search_path",
        "drop schema still cascade",
    )
    with psycopg.connect(owner_url, autocommit=True) as owner:
        for statement in stands:
            owner.execute(statement)
        yield
        for statement in goes_on:
            owner.execute(statement)


@pytest.fixture(scope="session")
def vault() -> Vault:
    return Vault.parse(f"v1:{base64.b64encode(bytes(range(32))).decode()}")


async def connected(db: Database, count: int) -> None:
    """Fills its pool with so many, one by one: all at once may take longer than each
    has time for."""
    async with contextlib.AsyncExitStack() as held:
        for _ in range(count):
            await held.enter_async_context(db.engine.connect())


def free_port() -> int:
    """A port that nobody uses now, and that no connection is given by chance until it
    is used: those of the system's own choice begin at 32768."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as door, contextlib.suppress(OSError):
            door.bind(("127.0.0.1", port))
            return port


def empty(superuser_url: str) -> None:
    """Every table as after the migration, plus MigraHosting.

    Rows are deleted, past keys and triggers, and only where there are any: to truncate
    all tables takes longer than most tests.
    """
    with psycopg.connect(superuser_url) as connection:
        connection.execute("set session_replication_role = replica")
        tables = connection.execute(
            "select relname from pg_class where relkind = 'r' and"
            " relnamespace = 'public'::regnamespace and relname <> 'alembic_version'"
        ).fetchall()
        holds_any = sql.SQL(" union all ").join(
            sql.SQL("select {} where exists (select from {})").format(
                sql.Literal(name), sql.Identifier(name)
            )
            for (name,) in tables
        )
        for (name,) in connection.execute(holds_any).fetchall():
            connection.execute(sql.SQL("delete from {}").format(sql.Identifier(name)))
        connection.execute(
            "insert into tenants (id, created_at, name) values (%s, now(), %s)",
            [MIGRAHOSTING, "MigraHosting"],
        )
