"""Customers whose mail comes back are few, and looked at often"""

import sqlalchemy as sa
from alembic import op

revision = "0032_unreachable"
down_revision = "0031_cloudpod_samples"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "customers_unreachable",
        "customers",
        ["id"],
        postgresql_where=sa.text("mail_undeliverable"),
    )


def downgrade() -> None:
    op.drop_index("customers_unreachable", "customers")
