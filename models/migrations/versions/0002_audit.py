"""The audit log; the database itself chains it"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002_audit"
down_revision = "0001_foundation"
branch_labels = None
depends_on = None

# Runs at the commit, as the owner: so the head is locked for as short as can be, the
# application needs no right to change a row, and can choose neither place nor hash.
# The first call seals all that the transaction told, tenant by tenant in one order:
# two of them never wait for each other. Nobody else's unsealed rows are in sight.
_SEAL = r"""
create function audit_seal() returns trigger language plpgsql
security definer set search_path = pg_catalog, public, pg_temp as $$
declare
    event audit_events;
    head audit_heads;
begin
    for event in
        select * from audit_events where seq is null order by tenant_id, created_at, id
    loop
        if head.tenant_id is distinct from event.tenant_id then
            insert into audit_heads values (event.tenant_id, 0, repeat('0', 64))
                on conflict do nothing;
            select * into strict head from audit_heads
                where tenant_id = event.tenant_id for update;
        end if;
        event.created_at := clock_timestamp();
        event.seq := head.seq + 1;
        event.prev_hash := head.hash;
        event.hash := audit_hash(event);
        update audit_events set created_at = event.created_at, seq = event.seq,
            prev_hash = event.prev_hash, hash = event.hash where id = event.id;
        update audit_heads set seq = event.seq, hash = event.hash
            where tenant_id = event.tenant_id returning * into strict head;
    end loop;
    return null;
end $$
"""
_HASH = r"""
create function audit_hash(event audit_events) returns text language sql stable
set search_path = pg_catalog, public, pg_temp as $$
    select encode(sha256(convert_to(string_agg(
        coalesce(octet_length(convert_to(value, 'UTF8')) || ':' || value, '-'),
        ',' order by place), 'UTF8')), 'hex')
    from unnest(array[
        event.prev_hash,
        event.tenant_id::text,
        event.seq::text,
        event.id::text,
        trunc(extract(epoch from event.created_at) * 1000000)::bigint::text,
        event.actor_kind,
        event.actor_id::text,
        event.actor,
        event.action,
        event.entity,
        event.entity_id,
        event.reason,
        event.details::text,
        event.request_id
    ]) with ordinality as columns (value, place)
$$
"""


def upgrade() -> None:
    op.create_table(
        "audit_events",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("actor_kind", sa.String(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("entity", sa.String(), nullable=False),
        sa.Column("entity_id", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("details", postgresql.JSONB(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("prev_hash", sa.String(), nullable=True),
        sa.Column("hash", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("audit_chain", "audit_events", ["tenant_id", "seq"], unique=True)
    op.create_index(
        "audit_unsealed",
        "audit_events",
        ["tenant_id"],
        postgresql_where=sa.text("seq is null"),
    )
    op.create_index(
        "audit_by_time", "audit_events", ["tenant_id", sa.text("created_at desc")]
    )
    op.create_index("audit_of_entity", "audit_events", ["entity", "entity_id"])
    op.create_index("ix_audit_events_actor_id", "audit_events", ["actor_id"])
    op.create_index("ix_audit_events_tenant_id", "audit_events", ["tenant_id"])
    op.create_table(
        "audit_heads",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
        sa.PrimaryKeyConstraint("tenant_id"),
    )
    op.execute(_HASH)
    op.execute(_SEAL)
    op.execute(
        "create constraint trigger seal after insert on audit_events"
        " deferrable initially deferred for each row execute function audit_seal()"
    )


def downgrade() -> None:
    op.execute("drop trigger seal on audit_events")
    op.execute("drop function audit_seal")
    op.execute("drop function audit_hash")
    op.drop_table("audit_heads")
    op.drop_table("audit_events")
