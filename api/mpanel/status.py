"""/api/status: how we and everything we depend on are."""

from importlib.metadata import version
from typing import Final

from fastapi import APIRouter
from pydantic import Field

from api.deps import InProcess, PlatformRows, Reader
from api.schemas import SIGNED_IN, CamelModel
from api.services import status as service
from models.states import Health

router = APIRouter(tags=["system"])

_VERSION: Final = version("mpanel")


class DependenciesOut(CamelModel):
    """As the workers saw them in the last half minute; unseen is `down`."""

    database: Health
    redis: Health
    queue: Health = Field(description="Temporal, and a worker for each task queue.")
    proxmox: Health
    stripe: Health
    powerdns: Health
    hosting: Health = Field(description="`degraded`: some servers are not reached.")
    backup_store: Health
    mail: Health


class StatusOut(CamelModel):
    """`uptimeSeconds` is this process'."""

    service: str = "mpanel-api"
    version: str = _VERSION
    uptime_seconds: int
    dependencies: DependenciesOut


@router.get("/status", responses=SIGNED_IN)
async def status(_: Reader, rows: PlatformRows, parts: InProcess) -> StatusOut:
    """Higher-level status, for people. No provider is asked for it."""
    found = await service.dependencies(rows)
    return StatusOut(
        uptime_seconds=parts.uptime,
        dependencies=DependenciesOut.model_validate(found),
    )
