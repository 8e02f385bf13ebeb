"""Answers that are kept for a day, so that a call sent again gets the same one."""

from sqlalchemy import Index, UniqueConstraint

from models.base import TenantRow


class KeptAnswer(TenantRow, table=True):
    """`caller` is `<kind>:<id>`; `sealed` is the body, which may hold a secret."""

    __tablename__ = "kept_answers"
    __table_args__ = (
        UniqueConstraint("tenant_id", "caller", "key", name="one_answer_per_key"),
        Index("kept_answers_by_age", "created_at"),
    )

    caller: str
    key: str
    request_hash: str
    status: int
    content_type: str
    sealed: str
