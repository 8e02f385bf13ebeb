"""Logins: a row lives as long as the login does, and its tokens with it."""

from datetime import datetime
from uuid import UUID

from sqlmodel import Field, SQLModel

from models.base import TenantRow, moment, utc_now


class LoginSession(TenantRow, table=True):
    """`last_seen_at` is coarse; `second_factor_at` is when one was proven last."""

    __tablename__ = "sessions"

    user_id: UUID = Field(foreign_key="users.id", index=True)
    address: str
    user_agent: str
    method: str = "password"
    last_seen_at: datetime = moment(default_factory=utc_now)
    expires_at: datetime = moment()
    second_factor_at: datetime | None = moment(default=None)


class RefreshToken(TenantRow, table=True):
    """Stored hashed. `parent_id`: the token that it was given in exchange for."""

    __tablename__ = "refresh_tokens"

    session_id: UUID = Field(foreign_key="sessions.id", ondelete="CASCADE", index=True)
    token_hash: str = Field(unique=True)
    parent_id: UUID | None = Field(default=None, index=True)
    used_at: datetime | None = moment(default=None)


class KnownAddress(SQLModel, table=True):
    """From where a user has logged in: others' failures do not shut it out."""

    __tablename__ = "known_addresses"

    user_id: UUID = Field(foreign_key="users.id", primary_key=True)
    address: str = Field(primary_key=True)
    seen_at: datetime = moment(default_factory=utc_now)
