"""A snapshot or backup that came to nothing leaves its name to another"""

import sqlalchemy as sa
from alembic import op

revision = "0035_save_names"
down_revision = "0033_inbox_page"
branch_labels = None
depends_on = None

_NAMES = ("cloudpod_id", "kind", "name")
_OLD = "cloudpod_saves_cloudpod_id_kind_name_key"


def upgrade() -> None:
    op.drop_constraint(_OLD, "cloudpod_saves")
    op.create_index(
        "one_save_of_a_name",
        "cloudpod_saves",
        _NAMES,
        unique=True,
        postgresql_where=sa.text("status <> 'failed'"),
    )


def downgrade() -> None:
    op.drop_index("one_save_of_a_name", "cloudpod_saves")
    op.create_unique_constraint(_OLD, "cloudpod_saves", _NAMES)
