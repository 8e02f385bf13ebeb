"""The charge of a payment, for whoever has nothing else at hand"""

import sqlalchemy as sa
from alembic import op

revision = "0038_charges"
down_revision = "0037_hosts"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "payment_claims", sa.Column("stripe_charge_id", sa.String(), nullable=True)
    )
    op.create_index(
        "ix_payment_claims_stripe_charge_id", "payment_claims", ["stripe_charge_id"]
    )


def downgrade() -> None:
    op.drop_index("ix_payment_claims_stripe_charge_id", "payment_claims")
    op.drop_column("payment_claims", "stripe_charge_id")
