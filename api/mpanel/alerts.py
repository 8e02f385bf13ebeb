"""/api/alerts: what an operator should know now."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from api.bodies import Text
from api.deps import Operator, Reader, Rows
from api.idempotency import Repeatable
from api.mpanel.decisions import Why
from api.schemas import ACTS, SIGNED_IN, CamelModel, Id, Page, Paging, Timestamp
from api.services import alerts as service
from models.queries import alerts
from models.states import AlertStatus, Severity

router = APIRouter(prefix="/alerts", tags=["alerts"], route_class=Repeatable)


class AlertOut(CamelModel):
    """`count`: how often since it was raised, or how many it concerns.

    `resolvedBy` is null for what ended by itself.
    """

    id: UUID
    tenant_id: UUID
    cause: str
    subject_id: UUID
    job_id: UUID | None
    severity: Severity
    message: str
    status: AlertStatus
    count: int
    created_at: Timestamp
    last_seen_at: Timestamp
    acknowledged_by: str | None
    acknowledged_at: Timestamp | None
    note: str
    resolved_at: Timestamp | None
    resolved_by: str | None
    resolution: str


class AlertPaging(Paging):
    status: AlertStatus | None = None
    severity: Severity | None = None
    cause: Text | None = None


class AcknowledgeIn(CamelModel):
    note: Why | None = None


class ResolveIn(CamelModel):
    reason: Why


@router.get("", responses=SIGNED_IN)
async def list_alerts(
    query: Annotated[AlertPaging, Query()], _: Reader, rows: Rows
) -> Page[AlertOut]:
    """Alerts, newest first."""
    found = await alerts.find(
        rows,
        query.window,
        status=query.status,
        severity=query.severity,
        cause=query.cause,
    )
    return Page[AlertOut].of(found)


@router.post("/{id}/acknowledge", responses=ACTS)
async def acknowledge(
    alert_id: Id, actor: Operator, rows: Rows, body: AcknowledgeIn | None = None
) -> AlertOut:
    """Somebody has it in hand: nobody is told of it again while it is open."""
    note = (body and body.note) or ""
    return AlertOut.model_validate(
        await service.acknowledge(rows, actor, alert_id, note=note)
    )


@router.post("/{id}/resolve", responses=ACTS)
async def resolve(
    alert_id: Id, body: ResolveIn, actor: Operator, rows: Rows
) -> AlertOut:
    """It is over, because you say so. If its cause lasts, it is raised anew."""
    return AlertOut.model_validate(
        await service.resolve(rows, actor, alert_id, reason=body.reason)
    )
