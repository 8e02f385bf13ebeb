"""The ledger of everything we made outside. `intended` is committed before the call."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, text
from sqlmodel import Field

from models.base import TenantRow, document, moment, utc_now, word
from models.states import EffectState


class Effect(TenantRow, table=True):
    """`reference` is ours and deterministic, `remote_id` theirs.

    `sealed` keeps a generated password, encrypted, from before the call on.
    `check_at`: when the provider is asked again whether it really is so.
    """

    __tablename__ = "effects"
    __table_args__ = (
        Index("effect_reference", "provider", "kind", "reference", unique=True),
        Index(
            "effects_to_check",
            "check_at",
            postgresql_where=text("check_at is not null"),
        ),
    )

    job_id: UUID = Field(index=True)
    owner_id: UUID = Field(index=True)
    provider: str
    kind: str
    reference: str = Field(index=True)
    account: str = ""
    state: EffectState = word(default=EffectState.INTENDED)
    remote_id: str | None = Field(default=None, index=True)
    sealed: str | None = None
    facts: dict[str, Any] = document(default_factory=dict)
    updated_at: datetime = moment(default_factory=utc_now)
    check_at: datetime | None = moment(default=None)
    checks: int = 0
