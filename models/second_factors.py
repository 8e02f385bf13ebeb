"""The second factor of a login: an authenticator app, and codes for when it is lost."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger
from sqlmodel import Field

from models.base import TenantRow, moment


class SecondFactor(TenantRow, table=True):
    """`secret` is sealed. `last_step`: the newest interval of 30 s whose code was used;
    no older one is accepted again."""

    __tablename__ = "second_factors"

    user_id: UUID = Field(foreign_key="users.id", unique=True)
    secret: str
    confirmed_at: datetime | None = moment(default=None)
    last_step: int = Field(default=0, sa_type=BigInteger)

    @property
    def bound_to(self) -> str:
        """What the sealed secret belongs to."""
        return f"{self.tenant_id}/second_factors/{self.id}"


class RecoveryCode(TenantRow, table=True):
    """120 random bits, stored hashed; works once."""

    __tablename__ = "recovery_codes"

    user_id: UUID = Field(foreign_key="users.id", index=True)
    code_hash: str = Field(unique=True)
    used_at: datetime | None = moment(default=None)
