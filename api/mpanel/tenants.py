"""/api/tenants: the companies that use the platform."""

from typing import Literal
from uuid import UUID

from fastapi import APIRouter

from api.bodies import Text
from api.deps import Admin, Platform, Rows
from api.idempotency import Repeatable
from api.schemas import (
    ABOUT_ONE,
    ACTS,
    SIGNED_IN,
    CamelModel,
    Id,
    Page,
    Paged,
    Timestamp,
)
from api.services import tenants as service
from models.queries import tenants

router = APIRouter(prefix="/tenants", tags=["tenants"], route_class=Repeatable)


class TenantIn(CamelModel):
    name: Text
    status: Literal["active"] = "active"


class TenantOut(CamelModel):
    id: UUID
    name: str
    status: Literal["active"] = "active"
    created_at: Timestamp


@router.get("", responses=SIGNED_IN)
async def list_tenants(paging: Paged, _: Admin, rows: Rows) -> Page[TenantOut]:
    """The caller's own tenant; all of them for a super_admin."""
    return Page[TenantOut].of(await tenants.find(rows, paging.window))


@router.get("/{id}", responses=ABOUT_ONE)
async def get_tenant(tenant_id: Id, _: Admin, rows: Rows) -> TenantOut:
    """One tenant."""
    return TenantOut.model_validate(await tenants.get(rows, tenant_id))


@router.post("", status_code=201, responses=ACTS)
async def create_tenant(body: TenantIn, actor: Platform, rows: Rows) -> TenantOut:
    """Add a tenant; its first admin by POST /api/users with `tenantId`."""
    return TenantOut.model_validate(await service.create(rows, actor, body.name))
