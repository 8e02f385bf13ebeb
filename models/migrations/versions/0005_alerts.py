"""Alerts that are counted, acknowledged and resolved; mails that bounce or wait.

Revision ID: 0005_alerts
Revises: 0014_processes
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005_alerts"
down_revision = "0014_processes"
branch_labels = None
depends_on = None


def _moment(name: str, *, default: bool = False) -> sa.Column[Any]:
    """A point in time; with `default`, never null and now for what is there."""
    now = sa.text("now()") if default else None
    kind = sa.DateTime(timezone=True)
    return sa.Column(name, kind, nullable=not default, server_default=now)


def upgrade() -> None:
    for column in (
        sa.Column("count", sa.Integer(), nullable=False, server_default="1"),
        _moment("last_seen_at", default=True),
        sa.Column("acknowledged_by", sa.String(), nullable=True),
        _moment("acknowledged_at"),
        sa.Column("note", sa.String(), nullable=False, server_default=""),
        sa.Column("resolved_by", sa.String(), nullable=True),
        sa.Column("resolution", sa.String(), nullable=False, server_default=""),
    ):
        op.add_column("alerts", column)
    for column in (
        sa.Column("order_id", sa.Uuid(), nullable=True),
        sa.Column("customer_id", sa.Uuid(), nullable=True),
        sa.Column("alert_id", sa.Uuid(), nullable=True),
        sa.Column("critical", sa.Boolean(), nullable=False, server_default="false"),
        _moment("released_at"),
        sa.Column("folded_into", sa.Uuid(), nullable=True),
        _moment("bounced_at"),
        sa.Column("bounce_code", sa.String(), nullable=True),
    ):
        op.add_column("outbox", column)
    for index, indexed, where in _INDEXES:
        op.create_index(index, "outbox", [indexed], postgresql_where=sa.text(where))
    op.add_column(
        "customers",
        sa.Column(
            "mail_undeliverable", sa.Boolean(), nullable=False, server_default="false"
        ),
    )
    op.add_column("provider_accounts", _moment("blocked_since", default=True))
    op.create_table(
        "alert_rules",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("threshold", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Integer(), nullable=False),
        sa.Column("changed_by", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )


_INDEXES = (
    ("outbox_held", "created_at", "status = 'held'"),
    ("outbox_of_order", "order_id", "order_id is not null"),
    ("outbox_of_customer", "customer_id", "customer_id is not null"),
    ("outbox_of_digest", "folded_into", "folded_into is not null"),
    ("outbox_released", "released_at", "released_at is not null"),
)


def downgrade() -> None:
    op.drop_table("alert_rules")
    op.drop_column("provider_accounts", "blocked_since")
    op.drop_column("customers", "mail_undeliverable")
    for name, _, _ in _INDEXES:
        op.drop_index(name, table_name="outbox")
    for name in (
        "bounce_code",
        "bounced_at",
        "folded_into",
        "released_at",
        "critical",
        "alert_id",
        "customer_id",
        "order_id",
    ):
        op.drop_column("outbox", name)
    for name in (
        "resolution",
        "resolved_by",
        "note",
        "acknowledged_at",
        "acknowledged_by",
        "last_seen_at",
        "count",
    ):
        op.drop_column("alerts", name)
