"""/api/cloudpods/drift and /repair: guests that are not as we brought them about."""

from fastapi import APIRouter

from api.deps import Operator, Rows, Temporal
from api.idempotency import Repeatable
from api.mpanel.cloudpods import AskedOut, CloudPodOut
from api.schemas import ACTS, SIGNED_IN, Id, Page, Paged
from api.services import cloudpods as service
from models.queries import drift
from models.queries.slices import Slice

router = APIRouter(prefix="/cloudpods", tags=["cloudpods"], route_class=Repeatable)


@router.get("/drift", responses=SIGNED_IN)
async def list_drift(paging: Paged, _: Operator, rows: Rows) -> Page[CloudPodOut]:
    """CloudPods whose guest is not as wanted: gone, stopped, running, foreign (another
    guest has its VMID) or elsewhere. Each leaves the list by itself."""
    found = await drift.find(rows, paging.window)
    shown = [CloudPodOut.of(pod) for pod in found.items]
    return Page[CloudPodOut].of(Slice(shown, found.total))


@router.post("/{id}/repair", status_code=200, responses=ACTS)
async def repair_cloudpod(
    cloudpod_id: Id, actor: Operator, rows: Rows, temporal: Temporal
) -> AskedOut:
    """Start it, stop it, or make it again where it is gone: from its newest backup, or
    else from its template. A guest that is there is never replaced."""
    return AskedOut.of(await service.repair(rows, temporal, actor, cloudpod_id))
