"""A company with this many jobs, made inside of PostgreSQL."""

from typing import Any

import psycopg

from models.tenants import MIGRAHOSTING

_ID = "md5('{table}' || n)::uuid"


def fill(connection: psycopg.Connection[Any], jobs: int) -> None:
    """`jobs` jobs, and a fifth as many rows of every other list, over the last year.

    Wants a superuser's connection: neither foreign keys nor policies are asked.
    """
    connection.execute("set session_replication_role = replica")
    connection.execute("set synchronous_commit = off")
    connection.execute("set maintenance_work_mem = '256MB'")
    product = connection.execute("select id from products limit 1").fetchone()
    assert product is not None
    given = {
        "tenant_id": f"'{MIGRAHOSTING}'::uuid",
        "created_at": f"now() - n * interval '1 year' / {jobs}",
        "updated_at": "now()",
        "product_id": f"'{product[0]}'::uuid",
    }
    for table, columns in _ROWS.items():
        own = {"id": _ID.format(table=table), **given, **columns}
        _copy(connection, table, own, jobs if table == "jobs" else jobs // 5)
        connection.execute(f"vacuum analyze {table}")


def _copy(
    connection: psycopg.Connection[Any], table: str, columns: dict[str, str], rows: int
) -> None:
    known = connection.execute(
        "select column_name, data_type, is_nullable, column_default"
        " from information_schema.columns where table_name = %s"
        " and table_schema = 'public'",
        [table],
    ).fetchall()
    values = {
        name: columns.get(name, _ANY.get(kind, "''"))
        for name, kind, nullable, default in known
        if name in columns or (nullable == "NO" and default is None)
    }
    indexes = connection.execute(
        "select indexdef, indexname from pg_indexes where tablename = %s and indexname"
        " not in (select conname from pg_constraint)",
        [table],
    ).fetchall()
    for _, name in indexes:
        connection.execute(f'drop index "{name}"')
    connection.execute(
        f"insert into {table} ({', '.join(values)})"
        f" select {', '.join(values.values())} from generate_series(1, {rows}) n"
    )
    for definition, _ in indexes:
        connection.execute(definition)


_ANY = {
    "uuid": "md5('any' || n)::uuid",
    "integer": "1",
    "bigint": "n",
    "boolean": "false",
    "jsonb": "'{}'",
    "timestamp with time zone": "now()",
}
# What the lists look at; whatever else a table demands is anything of its type.
_ROWS: dict[str, dict[str, str]] = {
    "customers": {
        "email": "'c' || n || '@example.com'",
        "name": "'Customer ' || n",
        "status": "'active'",
    },
    "orders": {
        "customer_id": _ID.format(table="customers"),
        "source": "'bench'",
        "status": "'completed'",
        "total": "5498",
        "currency": "'USD'",
        "completed_at": "now()",
    },
    "subscriptions": {
        "customer_id": _ID.format(table="customers"),
        "product_type": "'hosting'",
        "billing_cycle": "'monthly'",
        "status": "'active'",
    },
    "order_items": {
        "order_id": _ID.format(table="orders"),
        "position": "0",
        "code": "'wp_growth'",
        "billing_cycle": "'monthly'",
        "amount": "4999",
        "subscription_id": _ID.format(table="subscriptions"),
        "job_id": _ID.format(table="jobs"),
    },
    "websites": {
        "customer_id": _ID.format(table="customers"),
        "subscription_id": _ID.format(table="subscriptions"),
        "domain": "'w' || n || '.example.net'",
        "site_kind": "'php'",
        "php_version": "'8.4'",
        "status": "'active'",
        "live_at": "now()",
    },
    "jobs": {
        "kind": "'website_provision'",
        # One in a thousand waits for a person, at least ten of them.
        "status": "case when n <= 10 or n % 1000 = 0 then 'needs_attention'"
        " else 'succeeded' end",
        "reason": "case when n <= 10 or n % 1000 = 0 then 'provider_rejected' end",
        "step": "case when n <= 10 or n % 1000 = 0 then 'create_site' end",
        "message": "case when n <= 10 or n % 1000 = 0 then 'no' end",
        "subject_id": _ID.format(table="websites"),
        "order_id": _ID.format(table="orders"),
        "generation": "1",
        "started_generation": "1",
        "started_at": "now()",
        "reconciled_at": "now()",
        "timeline_final": "true",
        "exclusive": "true",
    },
    "alerts": {
        "cause": "'provider_rejected'",
        "subject_id": _ID.format(table="websites"),
        "severity": "'warning'",
        "message": "'create_site waits'",
        "status": "case when n <= 10 then 'open' else 'resolved' end",
        "job_id": _ID.format(table="jobs"),
    },
    # Beyond the numbers that the chain's own trigger gives.
    "audit_events": {
        "seq": "1000000000 + n",
        "prev_hash": "md5(n::text)",
        "hash": "md5(n::text)",
        "actor_kind": "'user'",
        "actor": "'somebody'",
        "action": "'decision.retry'",
        "entity": "'job'",
        "entity_id": "md5('jobs' || n)::uuid::text",
    },
}
