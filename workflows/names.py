"""What each kind of job is called in Temporal."""

from typing import Final

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
    JobKind.CLOUDPOD_DELETE: "DeleteCloudPod",
}
