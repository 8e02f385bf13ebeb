"""Keys that programs call with. Only a hash is stored; a key is shown once."""

import hashlib
import secrets
from collections.abc import Collection
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlmodel import Field

from models.base import TenantRow, document, moment
from models.users import Role

PREFIX: Final = "mk_"


class Scope(StrEnum):
    READ = "read"
    DECIDE = "decide"  # read, create and decide, as an operator
    ABORT = "abort"  # with decide: aborts too, for which people prove a second factor
    ORDERS_WRITE = "orders:write"  # hand in orders of MigraHosting's shop, unsigned
    UNLIMITED = "unlimited"  # its calls are not limited; for tests under load


# What a key may do is what somebody with this role may; no key is an admin.
ROLES: Final = {Scope.READ: Role.VIEWER, Scope.DECIDE: Role.OPERATOR}


_MAKERS: Final = {Role.ADMIN, Role.SUPER_ADMIN}


def may_make(roles: Collection[str], scopes: Collection[str]) -> bool:
    """Whether somebody with these roles may give a key these scopes, and so whether
    one that they gave goes on."""
    makers = {Role.SUPER_ADMIN} if Scope.UNLIMITED in scopes else _MAKERS
    return not makers.isdisjoint(roles)


class ApiKey(TenantRow, table=True):
    """`public_id` and `last4` are shown, so that people can tell their keys apart.

    `last_used_at` is exact to a minute. `created_by`: None for the command line.
    """

    __tablename__ = "api_keys"

    key_hash: str = Field(unique=True)
    public_id: str
    last4: str
    name: str
    scopes: list[str] = document(default_factory=list)
    created_by: UUID | None = None
    expires_at: datetime | None = moment(default=None)
    last_used_at: datetime | None = moment(default=None)
    revoked_at: datetime | None = moment(default=None)

    @property
    def shown_as(self) -> str:
        """What may be shown of the key itself."""
        return f"{PREFIX}{self.public_id}_...{self.last4}"


def mint(row: ApiKey) -> str:
    """A key of 256 random bits for this row, which keeps its hash."""
    row.public_id = secrets.token_hex(4)
    key = f"{PREFIX}{row.public_id}_{secrets.token_urlsafe(32)}"
    row.key_hash, row.last4 = key_hash(key), key[-4:]
    return key


def key_hash(key: str) -> str:
    """Under which a key is stored and found."""
    return hashlib.sha256(key.encode()).hexdigest()
