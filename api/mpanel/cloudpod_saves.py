"""/api/cloudpods/{id}/snapshots and /backups: states that it can go back to."""

from uuid import UUID

from fastapi import APIRouter

from api.bodies import Text
from api.deps import Operator, Reader, Rows, Temporal
from api.idempotency import Repeatable
from api.mpanel.cloudpods import AskedOut
from api.schemas import ABOUT_ONE, ACTS, CamelModel, Id, Page, Timestamp
from api.services import cloudpods as service
from models.cloudpods import CloudPod, CloudPodSave
from models.jobs import Job
from models.queries import cloudpods
from models.queries.slices import Slice
from models.states import BackupStatus, SaveKind

router = APIRouter(prefix="/cloudpods/{id}", tags=["cloudpods"], route_class=Repeatable)


class SaveOut(CamelModel):
    """`size` in bytes; 0 for a snapshot, which lies beside the disks."""

    id: UUID
    job_id: UUID
    name: str
    status: BackupStatus
    size: int
    created_at: Timestamp
    stored_at: Timestamp | None


class SnapshotIn(CamelModel):
    name: Text


class RollBackIn(CamelModel):
    snapshot_id: UUID


class RestoreIn(CamelModel):
    backup_id: UUID


class SavedOut(AskedOut):
    """The row that the job will fill."""

    save: SaveOut

    @classmethod
    def of_save(cls, asked: tuple[CloudPod, Job, CloudPodSave]) -> "SavedOut":
        """What was asked, and where it will be kept."""
        pod, job, save = asked
        begun = AskedOut.of((pod, job))
        return cls(**begun.model_dump(), save=SaveOut.model_validate(save))


async def _listed(rows: Rows, cloudpod_id: UUID, kind: SaveKind) -> Page[SaveOut]:
    await cloudpods.get(rows, cloudpod_id)
    await cloudpods.fail_unkept(rows, cloudpod_id)
    found = await cloudpods.saves(rows, cloudpod_id, kind)
    return Page[SaveOut].of(Slice(found, len(found)))


@router.get("/snapshots", responses=ABOUT_ONE)
async def list_snapshots(cloudpod_id: Id, _: Reader, rows: Rows) -> Page[SaveOut]:
    """Its snapshots, newest first."""
    return await _listed(rows, cloudpod_id, SaveKind.SNAPSHOT)


@router.post("/snapshots", status_code=201, responses=ACTS)
async def take_snapshot(
    cloudpod_id: Id, body: SnapshotIn, actor: Operator, rows: Rows, temporal: Temporal
) -> SavedOut:
    """Keep how it is now, beside its disks."""
    return SavedOut.of_save(
        await service.save(
            rows, temporal, actor, cloudpod_id, SaveKind.SNAPSHOT, name=body.name
        )
    )


@router.post("/rollback", status_code=200, responses=ACTS)
async def roll_back(
    cloudpod_id: Id, body: RollBackIn, actor: Operator, rows: Rows, temporal: Temporal
) -> AskedOut:
    """Go back to a snapshot; everything since then is lost."""
    return AskedOut.of(
        await service.go_back(
            rows, temporal, actor, cloudpod_id, body.snapshot_id, SaveKind.SNAPSHOT
        )
    )


@router.get("/backups", responses=ABOUT_ONE)
async def list_backups(cloudpod_id: Id, _: Reader, rows: Rows) -> Page[SaveOut]:
    """Its backups, newest first; they outlive it."""
    return await _listed(rows, cloudpod_id, SaveKind.BACKUP)


@router.post("/backups", status_code=201, responses=ACTS)
async def back_up(
    cloudpod_id: Id, actor: Operator, rows: Rows, temporal: Temporal
) -> SavedOut:
    """Keep how it is now, away from its node."""
    return SavedOut.of_save(
        await service.save(rows, temporal, actor, cloudpod_id, SaveKind.BACKUP)
    )


@router.post("/restore", status_code=200, responses=ACTS)
async def restore(
    cloudpod_id: Id, body: RestoreIn, actor: Operator, rows: Rows, temporal: Temporal
) -> AskedOut:
    """Go back to a backup; everything since then is lost."""
    return AskedOut.of(
        await service.go_back(
            rows, temporal, actor, cloudpod_id, body.backup_id, SaveKind.BACKUP
        )
    )
