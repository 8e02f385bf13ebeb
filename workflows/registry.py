"""Every workflow there is, for workers, the replayer and the fingerprint test."""

from typing import Final

from workflows.backups import BackupTick, BackupWebsite, EnableBackups, RestoreWebsite
from workflows.cloudpods import DeleteCloudPod, ProvisionCloudPod
from workflows.orders import FulfilOrder
from workflows.websites import (
    DeleteWebsite,
    ProvisionWebsite,
    ResumeWebsite,
    SuspendWebsite,
)

WORKFLOWS: Final[tuple[type, ...]] = (
    FulfilOrder,
    ProvisionWebsite,
    DeleteWebsite,
    SuspendWebsite,
    ResumeWebsite,
    EnableBackups,
    BackupWebsite,
    RestoreWebsite,
    BackupTick,
    ProvisionCloudPod,
    DeleteCloudPod,
)
