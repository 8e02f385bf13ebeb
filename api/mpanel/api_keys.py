"""/api/api-keys: what programs call with."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import AwareDatetime, Field

from api.bodies import Text
from api.deps import Admin, Rows
from api.idempotency import Repeatable
from api.schemas import (
    ABOUT_ONE,
    SIGNED_IN,
    CamelModel,
    Id,
    Page,
    Paged,
    Timestamp,
    failures,
)
from api.services import api_keys as service
from models.api_keys import Scope
from models.queries import api_keys

router = APIRouter(prefix="/api-keys", tags=["api keys"], route_class=Repeatable)


# PostgreSQL keeps what comes later, and no datetime can say it in every zone.
Moment = Annotated[AwareDatetime, Field(lt=datetime(9999, 12, 31, tzinfo=UTC))]


class ApiKeyIn(CamelModel):
    """`expiresAt`: null for never."""

    name: Text
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=10)]
    expires_at: Moment | None = None


class ApiKeyOut(CamelModel):
    """`shownAs` is all that can be seen of it. `lastUsedAt` is exact to a minute."""

    id: UUID
    tenant_id: UUID
    name: str
    scopes: list[str]
    shown_as: str
    created_by: UUID | None
    created_at: Timestamp
    expires_at: Timestamp | None
    last_used_at: Timestamp | None
    revoked_at: Timestamp | None


class CreatedApiKeyOut(ApiKeyOut):
    """`key` is shown this once: send it as `X-API-Key`."""

    key: str


@router.get("", responses=SIGNED_IN)
async def list_keys(paging: Paged, _: Admin, rows: Rows) -> Page[ApiKeyOut]:
    """The tenant's keys, newest first; revoked ones too."""
    return Page[ApiKeyOut].of(await api_keys.find(rows, paging.window))


@router.post("", status_code=201, responses=failures(400, 401, 403, 413))
async def create_key(body: ApiKeyIn, actor: Admin, rows: Rows) -> CreatedApiKeyOut:
    """Make a key. `decide` reads, creates and decides as an operator does."""
    row, key = await service.create(
        rows, actor, name=body.name, scopes=body.scopes, expires_at=body.expires_at
    )
    shown = ApiKeyOut.model_validate(row)
    return CreatedApiKeyOut(**shown.model_dump(), key=key)


@router.delete("/{id}", status_code=204, responses=ABOUT_ONE)
async def revoke_key(key_id: Id, actor: Admin, rows: Rows) -> None:
    """Revoke a key; the very next request with it is refused, on every process."""
    await service.revoke(rows, actor, key_id)
