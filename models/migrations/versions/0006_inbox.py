"""Why a job waits, by whose failure; and everything by which people look for one"""

import sqlalchemy as sa
from alembic import op

revision = "0006_inbox"
down_revision = "0003_access"
branch_labels = None
depends_on = None

_WORDS = ("provider", "error_class", "error_code")
_FOUND_BY = (
    ("customers", "email"),
    ("effects", "reference"),
    ("effects", "remote_id"),
    ("orders", "stripe_payment_intent_id"),
    ("orders", "stripe_checkout_session_id"),
    ("payment_refunds", "stripe_refund_id"),
)
_OPEN = "('waiting', 'pending', 'running', 'needs_attention', 'undoing')"

# What a run does by itself is told by whoever writes its timeline. A person may be
# waited for, decide or be done: these are rare, and come from many places.
_TOLD = """
create function tell_of_job() returns trigger language plpgsql as $$
begin
    perform pg_notify('mpanel_jobs', 'inbox ' || new.id);
    return null;
end $$;
create trigger tell_of_job after update of status, step, reason on jobs for each row
    when (new.reason is distinct from old.reason or new.step is distinct from old.step
        or new.generation <> old.generation
        or new.status is distinct from old.status
        and new.status in ('needs_attention', 'undoing', 'failed', 'cancelled'))
    execute function tell_of_job()
"""


def upgrade() -> None:
    for word in _WORDS:
        op.add_column("jobs", sa.Column(word, sa.String(), nullable=True))
    op.add_column(
        "jobs",
        sa.Column("undoing", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.create_index(
        "jobs_in_inbox",
        "jobs",
        ["updated_at"],
        postgresql_where=sa.text(f"reason is not null and status in {_OPEN}"),
    )
    for table, column in _FOUND_BY:
        op.create_index(op.f(f"ix_{table}_{column}"), table, [column])
    op.execute(_TOLD)


def downgrade() -> None:
    op.execute("drop trigger tell_of_job on jobs")
    op.execute("drop function tell_of_job()")
    for table, column in _FOUND_BY:
        op.drop_index(op.f(f"ix_{table}_{column}"), table)
    op.drop_index("jobs_in_inbox", "jobs")
    for word in (*_WORDS, "undoing"):
        op.drop_column("jobs", word)
