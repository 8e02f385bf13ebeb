"""What CloudPods use, minute by minute"""

import sqlalchemy as sa
from alembic import op

revision = "0031_cloudpod_samples"
down_revision = "0030_nodes"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "cloudpod_samples",
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column(
            "cloudpod_id", sa.Uuid(), sa.ForeignKey("cloudpods.id"), nullable=False
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cpu", sa.Float(), nullable=False),
        sa.Column("memory", sa.BigInteger(), nullable=False),
        sa.Column("disk", sa.BigInteger(), nullable=False),
        sa.Column("net_in", sa.Float(), nullable=False),
        sa.Column("net_out", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("cloudpod_id", "at"),
    )
    op.create_index("ix_cloudpod_samples_at", "cloudpod_samples", ["at"])


def downgrade() -> None:
    op.drop_table("cloudpod_samples")
