"""Who did what, and why: kept for ever, in one chain of hashes per tenant.

The application adds rows and reads them, nothing else. The database seals a row when
its transaction commits: only then has it `seq`, `prev_hash`, `hash` and its moment.
"""

import hashlib
from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import BigInteger, Index, text
from sqlmodel import Field, SQLModel

from models.base import TenantRow, document

# What the first row of a chain follows.
GENESIS: Final = "0" * 64


class Action(StrEnum):
    """What is told of: all of it, so that a reader knows what to look for."""

    LOGIN_SUCCEEDED = "login.succeeded"
    LOGIN_FAILED = "login.failed"
    LOGIN_ENDED = "login.ended"
    LOGIN_TOKEN_REUSED = "login.token_reused"  # noqa: S105
    SESSION_REVOKED = "session.revoked"
    PASSWORD_SET = "password.set"  # noqa: S105
    PASSWORD_CHANGED = "password.changed"  # noqa: S105
    STEP_UP = "step_up"
    TOTP_ENABLED = "totp.enabled"
    TOTP_DISABLED = "totp.disabled"
    RECOVERY_CODES_RENEWED = "recovery_codes.renewed"
    RECOVERY_CODE_USED = "recovery_code.used"
    USER_CREATED = "user.created"
    USER_INVITED = "user.invited"
    USER_UPDATED = "user.updated"
    USER_ROLES_CHANGED = "user.roles_changed"
    USER_DISABLED = "user.disabled"
    USER_ENABLED = "user.enabled"
    KEY_CREATED = "key.created"
    KEY_REVOKED = "key.revoked"
    KEY_USED_IN_BROWSER = "key.used_in_browser"
    DECISION_RETRY = "decision.retry"
    DECISION_SKIP = "decision.skip"
    DECISION_ABORT_ITEM = "decision.abort_item"
    DECISION_ABORT_ORDER = "decision.abort_order"
    DECISION_CODE_ISSUED = "decision.code_issued"
    DECISION_REFUSED = "decision.refused"
    PAYMENT_ORDERED = "payment.ordered"
    PAYMENT_REFUNDED = "payment.refunded"
    REFUND_SETTLED = "refund.settled"
    REFUND_ADOPTED = "refund.adopted"
    ALERT_ACKNOWLEDGED = "alert.acknowledged"
    ALERT_RESOLVED = "alert.resolved"
    ALERT_RULE_CHANGED = "alert_rule.changed"
    TENANT_CREATED = "tenant.created"
    SERVER_ADDED = "server.added"
    SERVER_REMOVED = "server.removed"
    NODE_DRAINED = "node.drained"
    NODE_UNDRAINED = "node.undrained"
    CLOUDPOD_KEYS_SET = "cloudpod.keys_set"
    CLOUDPOD_CONSOLE_OPENED = "cloudpod.console_opened"
    WEBHOOK_REFUSED = "webhook.refused"


class AuditEvent(TenantRow, table=True):
    """`entity_id` is text: not everything that is spoken of has a UUID."""

    __tablename__ = "audit_events"
    __table_args__ = (
        Index("audit_chain", "tenant_id", "seq", unique=True),
        Index("audit_unsealed", "tenant_id", postgresql_where=text("seq is null")),
        Index("audit_by_time", "tenant_id", text("created_at desc")),
        Index("audit_of_entity", "entity", "entity_id"),
    )

    actor_kind: str
    actor_id: UUID | None = Field(default=None, index=True)
    actor: str
    action: str
    entity: str
    entity_id: str | None = None
    reason: str = ""
    details: dict[str, Any] = document(default_factory=dict)
    request_id: str | None = None
    seq: int | None = Field(default=None, sa_type=BigInteger)
    prev_hash: str | None = None
    hash: str | None = None


class AuditHead(SQLModel, table=True):
    """Where a tenant's chain ends. The application may read it."""

    __tablename__ = "audit_heads"

    tenant_id: UUID = Field(primary_key=True, foreign_key="tenants.id")
    seq: int = Field(sa_type=BigInteger)
    hash: str


def link(values: Iterable[str | None]) -> str:
    """The hash of a row: of its columns as text, each told from the next by its length.

    The database's own form stands in the migration; this one checks it.
    """
    parts = []
    for value in values:
        if value is None:
            parts.append(b"-")
        else:
            encoded = value.encode()
            parts.append(b"%d:%s" % (len(encoded), encoded))
    return hashlib.sha256(b",".join(parts)).hexdigest()
