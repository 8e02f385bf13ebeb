"""/api/alerts: what an operator should know now."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from api.deps import Reader, Rows
from api.schemas import SIGNED_IN, CamelModel, Page, Paging, Timestamp
from models.queries import alerts
from models.states import AlertStatus

router = APIRouter(prefix="/alerts", tags=["alerts"])


class AlertOut(CamelModel):
    id: UUID
    tenant_id: UUID
    cause: str
    subject_id: UUID
    job_id: UUID | None
    severity: str
    message: str
    status: AlertStatus
    created_at: Timestamp
    resolved_at: Timestamp | None


class AlertPaging(Paging):
    status: AlertStatus | None = None


@router.get("", responses=SIGNED_IN)
async def list_alerts(
    query: Annotated[AlertPaging, Query()], _: Reader, rows: Rows
) -> Page[AlertOut]:
    """Alerts, newest first."""
    found = await alerts.find(rows, query.window, status=query.status)
    return Page[AlertOut].of(found)
