"""People who log in. The password is stored as an Argon2id hash only."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

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

    @property
    def status(self) -> str:
        """As the documents word it."""
        return "disabled" if self.disabled_at else "active"


class Invitation(TenantRow, table=True):
    """Lets its holder set the user's first password, once; stored hashed."""

    __tablename__ = "invitations"

    user_id: UUID = Field(foreign_key="users.id", ondelete="CASCADE", index=True)
    token_hash: str = Field(unique=True)
    expires_at: datetime = moment()
