"""People who log in. The password is stored as an Argon2id hash only."""

from datetime import datetime
from enum import StrEnum

from sqlmodel import Field

from models.base import TenantRow, document, moment


class Role(StrEnum):
    SUPER_ADMIN = "super_admin"  # of the platform: sees every tenant
    ADMIN = "admin"
    OPERATOR = "operator"
    VIEWER = "viewer"

    @property
    def rank(self) -> int:
        """The more one may do, the higher."""
        return -list(Role).index(self)


class User(TenantRow, table=True):
    __tablename__ = "users"

    email: str = Field(unique=True)
    name: str
    password_hash: str
    roles: list[str] = document(default_factory=list)
    disabled_at: datetime | None = moment(default=None)
