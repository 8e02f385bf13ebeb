"""/api/cloudpods/{id}/metrics and /console."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from api.deps import Operator, Reader, Rows, Secrets, Temporal
from api.schemas import ABOUT_ONE, ACTS, CamelModel, Id, Timestamp
from api.services import cloudpod_consoles as consoles
from api.services import cloudpod_metrics as service

router = APIRouter(prefix="/cloudpods/{id}", tags=["cloudpods"])


def _with_zone(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class PointOut(CamelModel):
    """`cpu` of 1 is all its cores; `memory` and `disk` in bytes, `netIn` and `netOut`
    in bytes a second."""

    at: Timestamp
    cpu: float
    memory: float
    disk: float
    net_in: float
    net_out: float


class SeriesOut(CamelModel):
    """Means over `stepSeconds` each; times of which nothing is known have no point."""

    cloud_pod_id: UUID
    step_seconds: int
    points: list[PointOut]


class ConsoleOut(CamelModel):
    """For one websocket at `path` of the node's API, within `validSeconds`; the ticket
    is the VNC password, too."""

    node: str
    path: str
    port: int
    ticket: str
    valid_seconds: int


@router.get("/metrics", responses=ABOUT_ONE)
async def get_metrics(
    cloudpod_id: Id,
    _: Reader,
    rows: Rows,
    start: Annotated[datetime | None, Query(alias="from")] = None,
    until: Annotated[datetime | None, Query(alias="to")] = None,
) -> SeriesOut:
    """What it used, at most 500 points of up to 31 days; the last hour by default."""
    found = await service.series(
        rows,
        cloudpod_id,
        _with_zone(start) if start else None,
        _with_zone(until) if until else None,
    )
    return SeriesOut(
        cloud_pod_id=cloudpod_id,
        step_seconds=int(found.step.total_seconds()),
        points=[PointOut.model_validate(one) for one in found.points],
    )


@router.post("/console", responses=ACTS)
async def open_console(
    cloudpod_id: Id, actor: Operator, rows: Rows, temporal: Temporal, vault: Secrets
) -> ConsoleOut:
    """A ticket for one look at its screen."""
    ticket = await consoles.open_one(rows, temporal, vault, actor, cloudpod_id)
    return ConsoleOut.model_validate(ticket)
