"""What a hosting server says of its disk"""

import sqlalchemy as sa
from alembic import op

revision = "0037_hosts"
down_revision = "0036_let_go"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("disk", "disk_used"):
        column = sa.Column(name, sa.Integer(), nullable=False, server_default="0")
        op.add_column("servers", column)
        op.alter_column("servers", name, server_default=None)


def downgrade() -> None:
    for name in ("disk", "disk_used"):
        op.drop_column("servers", name)
