"""Answers kept under an Idempotency-Key"""

import sqlalchemy as sa
from alembic import op

revision = "0004_edge"
down_revision = "0002_audit"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "kept_answers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("caller", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("request_hash", sa.String(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("content_type", sa.String(), nullable=False),
        sa.Column("sealed", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("tenant_id", "caller", "key", name="one_answer_per_key"),
    )
    op.create_index("ix_kept_answers_tenant_id", "kept_answers", ["tenant_id"])
    op.create_index("kept_answers_by_age", "kept_answers", ["created_at"])


def downgrade() -> None:
    op.drop_table("kept_answers")
