"""What nodes say of themselves, who is to leave them, and what is not as it should be"""

import sqlalchemy as sa
from alembic import op

revision = "0030_nodes"
down_revision = "0008_bench"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in (
        sa.Column("draining", sa.Boolean(), nullable=False, server_default="false"),
        sa.Column("memory_used", sa.Integer(), nullable=False, server_default="0"),
    ):
        op.add_column("servers", column)
        op.alter_column("servers", column.name, server_default=None)
    op.add_column(
        "cloudpods",
        sa.Column("moving_to", sa.Uuid(), sa.ForeignKey("servers.id"), nullable=True),
    )
    op.create_index("ix_cloudpods_moving_to", "cloudpods", ["moving_to"])
    op.add_column("cloudpods", sa.Column("drift", sa.String(), nullable=True))
    op.create_index(
        "cloudpods_adrift",
        "cloudpods",
        ["created_at"],
        postgresql_where=sa.text("drift is not null"),
    )


def downgrade() -> None:
    op.drop_index("cloudpods_adrift", "cloudpods")
    op.drop_index("ix_cloudpods_moving_to", "cloudpods")
    op.drop_column("cloudpods", "drift")
    op.drop_column("cloudpods", "moving_to")
    for name in ("memory_used", "draining"):
        op.drop_column("servers", name)
