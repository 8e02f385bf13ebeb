"""Writing to the audit log, and reading it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlmodel import col, or_, select
from structlog.contextvars import get_contextvars

from models.audit import Action, AuditEvent
from models.base import utc_now
from models.database import Session
from models.queries.slices import Window

# An event that a repeated step tells again is there already.
_RECORD: Final = text(
    "insert into audit_events (id, created_at, tenant_id, actor_kind, actor_id, actor,"
    " action, entity, entity_id, reason, details, request_id) values (:id, :now,"
    " :tenant, :kind, :by, :name, :action, :entity, :entity_id, :reason,"
    " cast(:details as jsonb), :request) on conflict (id) do nothing"
)


@dataclass(frozen=True)
class By:
    """Who: `kind` is user, api_key, signal, system or anonymous; `name` is shown."""

    kind: str
    id: UUID | None
    name: str


SYSTEM: Final = By("system", None, "mPanel")


async def record(
    session: Session,
    *,
    tenant_id: UUID,
    by: By,
    action: Action,
    entity: str,
    entity_id: UUID | str | None = None,
    reason: str = "",
    details: Mapping[str, Any] | None = None,
    event_id: UUID | None = None,
) -> None:
    """Tells of what this transaction does; stands and falls with it.

    `action` is dotted (`decision.retry`). `details`: plain values under camelCase keys,
    never a secret. `event_id`: one and the same for every try of a step. The chain is
    locked by the commit alone, so nobody waits for a long transaction.
    """
    await (await session.connection()).execute(
        _RECORD,
        {
            "id": event_id or uuid4(),
            "now": utc_now(),
            "tenant": tenant_id,
            "kind": by.kind,
            "by": by.id,
            "name": by.name,
            "action": str(action),
            "entity": entity,
            "entity_id": None if entity_id is None else str(entity_id),
            "reason": reason,
            "details": json.dumps(dict(details or {})),
            "request": get_contextvars().get("request_id"),
        },
    )


@dataclass(frozen=True)
class Wanted:
    """Which events; None is any. `action`: `decision` means every `decision.*`."""

    tenant_id: UUID | None = None
    actor_id: UUID | None = None
    action: str | None = None
    entity: str | None = None
    entity_id: str | None = None
    since: datetime | None = None


async def find(
    session: Session, window: Window, wanted: Wanted
) -> Sequence[AuditEvent]:
    """Newest first. Never counted: it is the one list that only grows."""
    query = select(AuditEvent).order_by(
        col(AuditEvent.created_at).desc(), col(AuditEvent.seq).desc()
    )
    for column, value in (
        (AuditEvent.tenant_id, wanted.tenant_id),
        (AuditEvent.actor_id, wanted.actor_id),
        (AuditEvent.entity, wanted.entity),
        (AuditEvent.entity_id, wanted.entity_id),
    ):
        if value is not None:
            query = query.where(col(column) == value)
    if wanted.action is not None:
        query = query.where(
            or_(
                col(AuditEvent.action) == wanted.action,
                col(AuditEvent.action).startswith(f"{wanted.action}.", autoescape=True),
            )
        )
    if wanted.since is not None:
        query = query.where(col(AuditEvent.created_at) >= wanted.since)
    part = query.offset(window.offset).limit(window.limit)
    return (await session.exec(part)).all()
