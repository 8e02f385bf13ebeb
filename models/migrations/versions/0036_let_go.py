"""What was lent to a CloudPod that was given up is another's: its row keeps none of it"""

from alembic import op

revision = "0036_let_go"
down_revision = "0036_cloudpod_addresses"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Row-level security holds for the tables' owner, too.
    op.execute("select set_config('mpanel.scope', 'platform', true)")
    op.execute(
        "update cloudpods set vmid = null, ipv4 = null, ipv6 = null"
        " where status = 'failed' and vmid is not null"
        " and not exists (select from vmids where owner_id = cloudpods.id)"
    )


def downgrade() -> None:
    """What they once had is not known any more."""
