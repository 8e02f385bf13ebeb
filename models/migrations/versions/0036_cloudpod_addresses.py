"""A CloudPod is found by its address"""

from alembic import op

revision = "0036_cloudpod_addresses"
down_revision = "0035_save_names"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_cloudpods_ipv4", "cloudpods", ["ipv4"])
    op.create_index("ix_cloudpods_ipv6", "cloudpods", ["ipv6"])


def downgrade() -> None:
    op.drop_index("ix_cloudpods_ipv6", "cloudpods")
    op.drop_index("ix_cloudpods_ipv4", "cloudpods")
