"""Every workflow there is, for workers, the replayer and the fingerprint test."""

from typing import Final

from workflows.backups import BackupTick, BackupWebsite, EnableBackups, RestoreWebsite
from workflows.cloudpod_acts import (
    BackUpCloudPod,
    DeleteCloudPod,
    RebuildCloudPod,
    RenameCloudPod,
    ResizeCloudPod,
    RestartCloudPod,
    RestoreCloudPod,
    ResumeCloudPod,
    RollBackCloudPod,
    SnapshotCloudPod,
    SuspendCloudPod,
)
from workflows.cloudpod_life import CloudPodLife
from workflows.cloudpod_moves import MoveCloudPod
from workflows.cloudpod_repairs import RepairCloudPod
from workflows.cloudpods import ProvisionCloudPod
from workflows.consoles import ConsoleTicket
from workflows.nodes import DrainNode
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
    CloudPodLife,
    SuspendCloudPod,
    ResumeCloudPod,
    RestartCloudPod,
    ResizeCloudPod,
    RenameCloudPod,
    SnapshotCloudPod,
    RollBackCloudPod,
    BackUpCloudPod,
    RestoreCloudPod,
    RebuildCloudPod,
    DeleteCloudPod,
    MoveCloudPod,
    RepairCloudPod,
    DrainNode,
    ConsoleTicket,
)
