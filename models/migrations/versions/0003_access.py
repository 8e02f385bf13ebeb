"""Sessions, second factors and counted guesses. Everybody logs in anew."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003_access"
down_revision = "0009_doctor"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_table("refresh_tokens")
    op.create_table(
        "sessions",
        *_row(),
        sa.Column("user_id", sa.Uuid(), sa.ForeignKey("users.id"), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("user_agent", sa.String(), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        _moment("last_seen_at"),
        _moment("expires_at"),
        _moment("second_factor_at", nullable=True),
    )
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"])
    op.create_index("ix_sessions_tenant_id", "sessions", ["tenant_id"])
    op.create_table(
        "refresh_tokens",
        *_row(),
        sa.Column(
            "session_id",
            sa.Uuid(),
            sa.ForeignKey("sessions.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("token_hash", sa.String(), nullable=False, unique=True),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        _moment("used_at", nullable=True),
    )
    op.create_index("ix_refresh_tokens_session_id", "refresh_tokens", ["session_id"])
    op.create_index("ix_refresh_tokens_parent_id", "refresh_tokens", ["parent_id"])
    op.create_index("ix_refresh_tokens_tenant_id", "refresh_tokens", ["tenant_id"])
    op.create_table(
        "known_addresses",
        sa.Column("user_id", sa.Uuid(), sa.ForeignKey("users.id"), primary_key=True),
        sa.Column("address", sa.String(), primary_key=True),
        _moment("seen_at"),
    )
    op.create_table(
        "second_factors",
        *_row(),
        sa.Column(
            "user_id", sa.Uuid(), sa.ForeignKey("users.id"), nullable=False, unique=True
        ),
        sa.Column("secret", sa.String(), nullable=False),
        _moment("confirmed_at", nullable=True),
        sa.Column("last_step", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_second_factors_tenant_id", "second_factors", ["tenant_id"])
    op.create_table(
        "recovery_codes",
        *_row(),
        sa.Column("user_id", sa.Uuid(), sa.ForeignKey("users.id"), nullable=False),
        sa.Column("code_hash", sa.String(), nullable=False, unique=True),
        _moment("used_at", nullable=True),
    )
    op.create_index("ix_recovery_codes_user_id", "recovery_codes", ["user_id"])
    op.create_index("ix_recovery_codes_tenant_id", "recovery_codes", ["tenant_id"])
    op.create_table(
        "attempts",
        sa.Column("key", sa.String(), primary_key=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        _moment("failed_at"),
        _moment("blocked_until"),
    )


def downgrade() -> None:
    for table in (
        "attempts",
        "recovery_codes",
        "second_factors",
        "known_addresses",
        "refresh_tokens",
        "sessions",
    ):
        op.drop_table(table)
    op.create_table(
        "refresh_tokens",
        *_row(),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("family", sa.String(), nullable=False),
        sa.Column("token_hash", sa.String(), nullable=False, unique=True),
        _moment("expires_at"),
        _moment("used_at", nullable=True),
    )
    for column in ("family", "tenant_id", "user_id"):
        op.create_index(f"ix_refresh_tokens_{column}", "refresh_tokens", [column])


def _row() -> list[sa.Column[Any]]:
    return [
        sa.Column("id", sa.Uuid(), primary_key=True),
        _moment("created_at"),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenants.id"), nullable=False),
    ]


def _moment(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)
