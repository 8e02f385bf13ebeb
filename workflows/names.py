"""What each kind of job is called in Temporal."""

from typing import Final
from uuid import UUID

from models.states import JobKind

NAMES: Final[dict[JobKind, str]] = {
    JobKind.FULFIL_ORDER: "FulfilOrder",
    JobKind.WEBSITE_PROVISION: "ProvisionWebsite",
    JobKind.WEBSITE_DELETE: "DeleteWebsite",
    JobKind.WEBSITE_SUSPEND: "SuspendWebsite",
    JobKind.WEBSITE_RESUME: "ResumeWebsite",
    JobKind.WEBSITE_BACKUP: "BackupWebsite",
    JobKind.WEBSITE_RESTORE: "RestoreWebsite",
    JobKind.BACKUPS_ENABLE: "EnableBackups",
    JobKind.CLOUDPOD_PROVISION: "ProvisionCloudPod",
    JobKind.CLOUDPOD_SUSPEND: "SuspendCloudPod",
    JobKind.CLOUDPOD_RESUME: "ResumeCloudPod",
    JobKind.CLOUDPOD_RESTART: "RestartCloudPod",
    JobKind.CLOUDPOD_RESIZE: "ResizeCloudPod",
    JobKind.CLOUDPOD_RENAME: "RenameCloudPod",
    JobKind.CLOUDPOD_SNAPSHOT: "SnapshotCloudPod",
    JobKind.CLOUDPOD_ROLLBACK: "RollBackCloudPod",
    JobKind.CLOUDPOD_BACKUP: "BackUpCloudPod",
    JobKind.CLOUDPOD_RESTORE: "RestoreCloudPod",
    JobKind.CLOUDPOD_REBUILD: "RebuildCloudPod",
    JobKind.CLOUDPOD_DELETE: "DeleteCloudPod",
    JobKind.CLOUDPOD_MOVE: "MoveCloudPod",
    JobKind.CLOUDPOD_REPAIR: "RepairCloudPod",
    JobKind.NODE_DRAIN: "DrainNode",
}

LIFE: Final = "CloudPodLife"
CONSOLE: Final = "ConsoleTicket"


def life_id(cloudpod_id: UUID) -> str:
    """Of the run that keeps a CloudPod's acts in order: `cloudpod:<uuid>`."""
    return f"cloudpod:{cloudpod_id}"
