"""PostgreSQL: reached, bound, migrated, durable."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from alembic.script import ScriptDirectory
from psycopg.rows import dict_row

from models.base import utc_now
from models.migrations.run import config
from workers.doctor.lines import (
    Line,
    Unreachable,
    clock,
    failure,
    ok,
    skipped,
    warning,
)
from workers.doctor.settings import DoctorSettings

AREA = "PostgreSQL"
_OLDEST = 15
_PATIENCE = 5

_ROLE = (
    "select current_user as role, rolsuper, rolbypassrls,"
    " (select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace"
    " where n.nspname = 'public' and pg_has_role(c.relowner, 'usage')) as owned"
    " from pg_roles where rolname = current_user"
)
_UNGUARDED = (
    "select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
    " where n.nspname = 'public' and c.relkind in ('r', 'p')"
    " and c.relname <> 'alembic_version' and not (c.relrowsecurity and"
    " c.relforcerowsecurity and exists (select from pg_policy p where"
    " p.polrelid = c.oid)) order by 1"
)
_UNGRANTED = (
    "select current_user as role, count(*) as tables from pg_class c"
    " join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'public'"
    " and c.relkind in ('r', 'p') and not has_table_privilege(c.oid, 'select')"
)
# What other areas read in vain when a line of this one tells why.
UNREADABLE = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.InsufficientPrivilege,
)
_MIGRATE = "`mpanel migrate`, with MPANEL_OWNER_DATABASE_URL set."


@asynccontextmanager
async def connected(
    settings: DoctorSettings,
) -> AsyncIterator[psycopg.AsyncConnection[dict[str, Any]]]:
    """A connection of the application's role that reads, and sees every tenant.

    Raises `Unreachable`.
    """
    url = settings.database_url.get_secret_value()
    plain = url.replace("postgresql+psycopg://", "postgresql://", 1)
    try:
        connection = await psycopg.AsyncConnection.connect(
            plain,
            connect_timeout=_PATIENCE,
            row_factory=dict_row,
            options="-c default_transaction_read_only=on -c statement_timeout=5s",
        )
    except psycopg.Error as error:
        raise _unreachable(error) from None
    async with connection:
        await connection.execute("select set_config('mpanel.scope', 'platform', true)")
        yield connection


def _unreachable(error: psycopg.Error) -> Unreachable:
    text = str(error).strip().partition("\n")[0] or "no answer"
    said = text.rpartition("failed: ")[2]
    if "password" in text or "role" in text or "pg_hba" in text:
        advice = "Correct role or password in MPANEL_DATABASE_URL, or pg_hba.conf."
    elif "database" in text and "does not exist" in text:
        advice = "Create it: `createdb --owner <owner> <name>`, then `mpanel migrate`."
    elif isinstance(error, psycopg.ProgrammingError):
        advice = "MPANEL_DATABASE_URL wants postgresql://role:password@host:port/name."
        said = "MPANEL_DATABASE_URL is no address"
    else:
        advice = "Start PostgreSQL, or correct host and port in MPANEL_DATABASE_URL."
    return Unreachable("reached", said, advice)


async def look(settings: DoctorSettings) -> AsyncIterator[Line]:
    """As the application's role sees it."""
    async with connected(settings) as connection:
        info = connection.info
        yield ok("reached", f"{info.dbname} on {info.host}:{info.port}")
        yield _version(info.server_version)
        yield _role(await _one(connection, _ROLE))
        yield await _durable(connection)
        before = utc_now()
        now = await _one(connection, "select clock_timestamp() as now")
        yield clock("PostgreSQL", now["now"], before, utc_now())
        migrated = await _migrated(connection)
        yield migrated
        if migrated.advice and "no tables" in migrated.said:
            return
        yield _granted(await _one(connection, _UNGRANTED))
        yield await _guarded(connection)


async def _one(
    connection: psycopg.AsyncConnection[dict[str, Any]], query: Any
) -> dict[str, Any]:
    return await (await connection.execute(query)).fetchone() or {}


def _version(number: int) -> Line:
    told = f"{number // 10_000}.{number % 10_000}"
    if number // 10_000 < _OLDEST:
        return warning(
            "version", f"{told} is not tested", f"Upgrade to {_OLDEST} or newer."
        )
    return ok("version", told)


def _role(found: dict[str, Any]) -> Line:
    name, role = "role", found["role"]
    if found["rolsuper"] or found["rolbypassrls"]:
        power = "is a superuser" if found["rolsuper"] else "has BYPASSRLS"
        return failure(
            name,
            f"{role} {power}: tenants would see each other's rows",
            f"`alter role {role} nosuperuser nobypassrls`, or name the application's"
            " own role in MPANEL_DATABASE_URL.",
        )
    if found["owned"]:
        return failure(
            name,
            f"{role} owns {found['owned']} of our tables and could change them",
            "Name another role in MPANEL_DATABASE_URL; the owner belongs in"
            " MPANEL_OWNER_DATABASE_URL alone.",
        )
    return ok(name, f"{role} owns nothing and is bound by row-level security")


async def _durable(connection: psycopg.AsyncConnection[dict[str, Any]]) -> Line:
    name = "durable"
    found = await _one(
        connection,
        "select current_setting('fsync') as fsync,"
        " current_setting('synchronous_commit') as synchronous_commit",
    )
    if off := [setting for setting, value in found.items() if value == "off"]:
        return failure(
            name,
            f"{' and '.join(off)} off: an accepted order may be lost at a crash",
            f"Set {', '.join(f'{each} = on' for each in off)} in postgresql.conf and"
            " reload.",
        )
    return ok(name, "what is committed is on the disk")


async def _migrated(connection: psycopg.AsyncConnection[dict[str, Any]]) -> Line:
    name, wanted = "migrations", ScriptDirectory.from_config(config()).get_heads()
    there = await _one(
        connection,
        "select to_regclass('public.alembic_version') is not null as there,"
        " to_regclass('public.alembic_version') is not null and"
        " has_table_privilege('public.alembic_version', 'select') as readable",
    )
    if not there["there"]:
        return failure(name, "there are no tables", _MIGRATE)
    found: list[str] = []
    if there["readable"]:
        rows = await connection.execute("select version_num from alembic_version")
        found = [row["version_num"] for row in await rows.fetchall()]
    if sorted(found) == sorted(wanted):
        return ok(name, f"at {wanted[0]}")
    known = {
        one.revision for one in ScriptDirectory.from_config(config()).walk_revisions()
    }
    if set(found) - known:
        return failure(
            name,
            f"the database is at {', '.join(found)}, which this program does not know",
            "Run the newest release here, too.",
        )
    at = ", ".join(found) or "an older one"
    return failure(name, f"at {at}, this program wants {wanted[0]}", _MIGRATE)


def _granted(found: dict[str, Any]) -> Line:
    name, role = "rights", found["role"]
    if found["tables"]:
        return failure(
            name,
            f"{role} may not read {found['tables']} of our tables",
            f"`MPANEL_APP_ROLE={role} mpanel migrate`, with MPANEL_OWNER_DATABASE_URL"
            " set: it grants what that role needs.",
        )
    return ok(name, f"{role} may read every table")


def unread(name: str) -> Line:
    """For areas whose rows are `UNREADABLE`."""
    return skipped(name, "the tables cannot be read", "See PostgreSQL above.")


async def _guarded(connection: psycopg.AsyncConnection[dict[str, Any]]) -> Line:
    rows = await (await connection.execute(_UNGUARDED)).fetchall()
    if rows:
        tables = ", ".join(row["relname"] for row in rows)
        return failure(
            "row security",
            f"not forced on {tables}: a forgotten tenant shows everybody's rows",
            f"Put it back in place: {_MIGRATE}",
        )
    return ok("row security", "forced on every table")
