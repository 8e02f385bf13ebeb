"""/api/audit: who did what, and why."""

from datetime import UTC, datetime
from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import AfterValidator, Field

from api.deps import Admin, Rows
from api.schemas import SIGNED_IN, CamelModel, Paging, Timestamp
from models.audit import AuditEvent
from models.queries import audit

router = APIRouter(prefix="/audit", tags=["audit"])


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class AuditOut(CamelModel):
    """`actor` is the name as it was then; `actorId` is null if nobody was logged in.

    `seq` is its place in the tenant's chain, `hash` its link (`mpanel audit verify`).
    """

    id: UUID
    tenant_id: UUID
    actor_id: UUID | None
    actor_kind: str
    actor: str
    action: str
    resource_type: str
    resource_id: str | None
    reason: str
    metadata: dict[str, Any]
    request_id: str | None
    created_at: Timestamp
    seq: int
    hash: str

    @classmethod
    def of(cls, event: AuditEvent) -> Self:
        """The event in the documents' words."""
        facts = event.model_dump(exclude={"entity", "entity_id", "details"})
        return cls(
            **facts,
            resource_type=event.entity,
            resource_id=event.entity_id,
            metadata=event.details,
        )


class AuditPage(CamelModel):
    """A full page may be followed by another one."""

    items: list[AuditOut]


class AuditPaging(Paging):
    actor_id: UUID | None = None
    type: str | None = Field(
        default=None,
        max_length=100,
        description="an action, or the first word of many: `decision.retry`, `login`",
    )
    resource_type: str | None = Field(default=None, max_length=100)
    resource_id: str | None = Field(default=None, max_length=300)
    since: Annotated[datetime, AfterValidator(_aware)] | None = None


@router.get("", responses=SIGNED_IN)
async def list_events(
    query: Annotated[AuditPaging, Query()], actor: Admin, rows: Rows
) -> AuditPage:
    """The audit log, newest first, for admins."""
    wanted = audit.Wanted(
        tenant_id=None if actor.platform else actor.tenant_id,
        actor_id=query.actor_id,
        action=query.type,
        entity=query.resource_type,
        entity_id=query.resource_id,
        since=query.since,
    )
    found = await audit.find(rows, query.window, wanted)
    return AuditPage(items=[AuditOut.of(event) for event in found])
