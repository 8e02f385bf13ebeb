"""Who may see which row, put in place again after every migration.

A table with `tenant_id` shows a session the rows of its tenant; every other table
belongs to the platform. Forced, so that it holds for the tables' owner, too; a new
table is covered without anybody thinking of it.
"""

from sqlalchemy import Connection, text

_TENANT = "(select nullif(current_setting('mpanel.tenant', true), '')::uuid)"
_PLATFORM = "(select current_setting('mpanel.scope', true)) = 'platform'"

_RIGHTS = "select, insert, update, delete"
# Nobody but the database itself may change or remove what these tables hold. An event
# is told without its place in the chain, which the database gives.
_APPEND_ONLY = {
    "audit_events": "select, insert (id, created_at, tenant_id, actor_kind, actor_id,"
    " actor, action, entity, entity_id, reason, details, request_id)",
    "audit_heads": "select",
}


def secure(connection: Connection, app_role: str) -> None:
    """Row-level security and grants on every table; `app_role` must exist."""
    role = connection.dialect.identifier_preparer.quote(app_role)
    tables = connection.execute(
        text(
            "select c.relname, exists (select from pg_attribute a where"
            " a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped)"
            " from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " where n.nspname = 'public' and c.relkind = 'r'"
            " and c.relname <> 'alembic_version' order by 1"
        )
    ).all()
    connection.execute(text(f"grant usage on schema public to {role}"))
    for table, has_tenant in tables:
        key = "tenant_id" if has_tenant else "id" if table == "tenants" else None
        seen = f"{key} = {_TENANT} or {_PLATFORM}" if key else _PLATFORM
        rights = _APPEND_ONLY.get(table, _RIGHTS)
        for statement in (
            f"alter table {table} enable row level security",
            f"alter table {table} force row level security",
            f"drop policy if exists scope on {table}",
            f"create policy scope on {table} using ({seen}) with check ({seen})",
            f"revoke all on {table} from {role}",
            f"grant {rights} on {table} to {role}",
        ):
            connection.execute(text(statement))
    # `mpanel doctor` tells whether the tables are this program's.
    connection.execute(text(f"grant select on alembic_version to {role}"))
