"""Counted calls"""

import sqlalchemy as sa
from alembic import op

revision = "0012_calls"
down_revision = "0005_alerts"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "call_counts",
        sa.Column("key", sa.String(), primary_key=True),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("hits", sa.Integer(), nullable=False),
        prefixes=["UNLOGGED"],
    )
    # Each call rewrites its row; room in the page keeps the index out of it.
    op.execute("alter table call_counts set (fillfactor = 50)")


def downgrade() -> None:
    op.drop_table("call_counts")
