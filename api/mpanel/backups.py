"""/api/websites/{id}/backups and /restore."""

from uuid import UUID

from fastapi import APIRouter

from api.deps import Operator, Reader, Rows, Temporal
from api.idempotency import Repeatable
from api.mpanel.websites import AcceptedOut
from api.schemas import ABOUT_ONE, ACTS, CamelModel, Id, Page, Paged, Timestamp
from api.services import websites as service
from models.queries import backups, websites
from models.states import BackupStatus

router = APIRouter(prefix="/websites/{id}", tags=["backups"], route_class=Repeatable)


class BackupOut(CamelModel):
    """`size` in bytes, of the sealed archive; `sha256` is its checksum."""

    id: UUID
    website_id: UUID
    job_id: UUID
    status: BackupStatus
    size: int
    sha256: str
    created_at: Timestamp
    stored_at: Timestamp | None
    expires_at: Timestamp | None


class RestoreIn(CamelModel):
    backup_id: UUID


@router.get("/backups", responses=ABOUT_ONE)
async def list_backups(
    website_id: Id, paging: Paged, _: Reader, rows: Rows
) -> Page[BackupOut]:
    """The website's backups, newest first."""
    await websites.get(rows, website_id)
    return Page[BackupOut].of(await backups.find(rows, website_id, paging.window))


@router.post("/backups", status_code=202, responses=ACTS)
async def back_up(
    website_id: Id, actor: Operator, rows: Rows, temporal: Temporal
) -> AcceptedOut:
    """Archive the website now."""
    return AcceptedOut.of(await service.back_up(rows, temporal, actor, website_id))


@router.post("/restore", status_code=202, responses=ACTS)
async def restore(
    website_id: Id, body: RestoreIn, actor: Operator, rows: Rows, temporal: Temporal
) -> AcceptedOut:
    """Make the website's files those of a backup."""
    return AcceptedOut.of(
        await service.restore(
            rows, temporal, actor, website_id, backup_id=body.backup_id
        )
    )
