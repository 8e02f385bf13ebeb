"""/api/health: for load balancers; says that this process serves, nothing else."""

from fastapi import APIRouter

from api.schemas import CamelModel

router = APIRouter(tags=["system"])


class HealthOut(CamelModel):
    status: str = "ok"
    service: str = "mpanel-api"


@router.get("/health")
async def health() -> HealthOut:
    """Quick OK for load balancers."""
    return HealthOut()
