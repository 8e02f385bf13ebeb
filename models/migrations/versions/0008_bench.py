"""The newest alerts of a tenant, found by an index however many there are"""

import sqlalchemy as sa
from alembic import op

revision = "0008_bench"
down_revision = "0011_invitations"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "alerts_of_tenant",
        "alerts",
        ["tenant_id", sa.literal_column("created_at desc")],
        unique=False,
    )


def downgrade() -> None:
    op.drop_index("alerts_of_tenant", table_name="alerts")
