"""CloudPods, the nodes that carry them, and what they lease"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0021_cloudpods"
down_revision = "0012_calls"
branch_labels = None
depends_on = None


def _id() -> list[sa.Column[Any]]:
    return [
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    ]


def _lease() -> list[sa.Column[Any]]:
    return [
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=True),
        sa.Column("rests_until", sa.DateTime(timezone=True), nullable=True),
    ]


def upgrade() -> None:
    for name in ("memory", "cores"):
        op.add_column(
            "servers",
            sa.Column(name, sa.Integer(), nullable=False, server_default="0"),
        )
        op.alter_column("servers", name, server_default=None)
    op.create_table(
        "address_pools",
        *_id(),
        sa.Column("name", sa.String(), nullable=False, unique=True),
        sa.Column("family", sa.Integer(), nullable=False),
        sa.Column("network", sa.String(), nullable=False),
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("bridge", sa.String(), nullable=False),
    )
    op.create_table(
        "addresses",
        *_id(),
        *_lease(),
        sa.Column(
            "pool_id", sa.Uuid(), sa.ForeignKey("address_pools.id"), nullable=False
        ),
        sa.Column("family", sa.Integer(), nullable=False),
        sa.Column("ip", sa.String(), nullable=False, unique=True),
    )
    op.create_index(
        "address_of_owner", "addresses", ["owner_id", "family"], unique=True
    )
    op.create_index(
        "addresses_to_give",
        "addresses",
        ["pool_id"],
        postgresql_where=sa.text("status <> 'leased'"),
    )
    op.create_table(
        "vmids",
        *_id(),
        *_lease(),
        sa.Column("vmid", sa.Integer(), nullable=False, unique=True),
        sa.UniqueConstraint("owner_id"),
    )
    op.create_index(
        "vmids_to_give",
        "vmids",
        ["vmid"],
        postgresql_where=sa.text("status <> 'leased'"),
    )
    op.create_table(
        "cloudpods",
        *_id(),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column(
            "customer_id", sa.Uuid(), sa.ForeignKey("customers.id"), nullable=False
        ),
        sa.Column(
            "subscription_id",
            sa.Uuid(),
            sa.ForeignKey("subscriptions.id"),
            nullable=False,
        ),
        sa.Column(
            "product_id", sa.Uuid(), sa.ForeignKey("products.id"), nullable=False
        ),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("template", sa.String(), nullable=False),
        sa.Column("hostname", sa.String(), nullable=False, unique=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("image", sa.String(), nullable=False),
        sa.Column("cores", sa.Integer(), nullable=False),
        sa.Column("memory", sa.Integer(), nullable=False),
        sa.Column("disk", sa.Integer(), nullable=False),
        sa.Column("login", sa.String(), nullable=False),
        sa.Column("ssh_keys", postgresql.JSONB(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("server_id", sa.Uuid(), sa.ForeignKey("servers.id"), nullable=True),
        sa.Column("vmid", sa.Integer(), nullable=True, unique=True),
        sa.Column("ipv4", sa.String(), nullable=True),
        sa.Column("ipv6", sa.String(), nullable=True),
        sa.Column("seen", sa.String(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("live_at", sa.DateTime(timezone=True), nullable=True),
    )
    for column in (
        "tenant_id",
        "customer_id",
        "subscription_id",
        "status",
        "server_id",
    ):
        op.create_index(f"ix_cloudpods_{column}", "cloudpods", [column])


def downgrade() -> None:
    for table in ("cloudpods", "vmids", "addresses", "address_pools"):
        op.drop_table(table)
    for name in ("memory", "cores"):
        op.drop_column("servers", name)
