"""What a CloudPod is asked for during its life, and the states it can go back to"""

import sqlalchemy as sa
from alembic import op

revision = "0022_cloudpod_life"
down_revision = "0010_api_keys"
branch_labels = None
depends_on = None

_OPEN = "('waiting', 'pending', 'running', 'needs_attention', 'undoing')"


def upgrade() -> None:
    op.add_column("cloudpods", sa.Column("suspended_for", sa.String(), nullable=True))
    op.add_column(
        "cloudpods",
        sa.Column("held_until", sa.DateTime(timezone=True), nullable=True),
    )
    op.create_index(
        "one_open_act",
        "jobs",
        ["subject_id", "kind"],
        unique=True,
        postgresql_where=sa.text(f"kind like 'cloudpod_%' and status in {_OPEN}"),
    )
    op.create_table(
        "cloudpod_saves",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column(
            "cloudpod_id", sa.Uuid(), sa.ForeignKey("cloudpods.id"), nullable=False
        ),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("volid", sa.String(), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("stored_at", sa.DateTime(timezone=True), nullable=True),
        sa.UniqueConstraint("cloudpod_id", "kind", "name"),
    )
    for column in ("tenant_id", "cloudpod_id"):
        op.create_index(f"ix_cloudpod_saves_{column}", "cloudpod_saves", [column])


def downgrade() -> None:
    op.drop_table("cloudpod_saves")
    op.drop_index("one_open_act", "jobs")
    op.drop_column("cloudpods", "held_until")
    op.drop_column("cloudpods", "suspended_for")
