"""The first page of what waits costs the same, however much waits"""

import sqlalchemy as sa
from alembic import op

revision = "0033_inbox_page"
down_revision = "0032_unreachable"
branch_labels = None
depends_on = None

_OPEN = "('waiting', 'pending', 'running', 'needs_attention', 'undoing')"
_WAITING = sa.text(f"reason is not null and status in {_OPEN}")


def upgrade() -> None:
    op.drop_index("jobs_in_inbox", "jobs")
    _index("jobs_in_inbox", "updated_at", "id")
    _index("jobs_in_inbox_of_tenant", "tenant_id", "updated_at", "id")


def downgrade() -> None:
    op.drop_index("jobs_in_inbox_of_tenant", "jobs")
    op.drop_index("jobs_in_inbox", "jobs")
    _index("jobs_in_inbox", "updated_at")


def _index(name: str, *columns: str) -> None:
    op.create_index(name, "jobs", list(columns), postgresql_where=_WAITING)
