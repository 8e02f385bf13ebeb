"""/api/cloudpods."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field

from api.bodies import SshKeys, Text
from api.deps import Admin, Operator, Reader, Rows, Settings, Temporal
from api.idempotency import Repeatable
from api.mpanel.jobs import JobOut
from api.schemas import (
    ABOUT_ONE,
    ACTS,
    SIGNED_IN,
    CamelModel,
    Id,
    Page,
    Paged,
    Paging,
    Timestamp,
)
from api.services import cloudpods as service
from models.cloudpods import CloudPod
from models.jobs import Job
from models.queries import cloudpods, jobs
from models.queries.slices import Slice
from models.states import Drift, GuestKind, JobKind, ServiceStatus, SuspensionReason

router = APIRouter(prefix="/cloudpods", tags=["cloudpods"], route_class=Repeatable)

Word = Literal[
    "pending",
    "provisioning",
    "active",
    "suspended",
    "deleting",
    "deleted",
    "failed",
]
WORDS: Final[Mapping[ServiceStatus, Word]] = {
    ServiceStatus.PENDING: "pending",
    ServiceStatus.PROVISIONING: "provisioning",
    ServiceStatus.ACTIVE: "active",
    ServiceStatus.SUSPENDED: "suspended",
    ServiceStatus.TERMINATING: "deleting",
    ServiceStatus.TERMINATED: "deleted",
    ServiceStatus.FAILED: "failed",
}


class CloudPodOut(CamelModel):
    """`status` is what was brought about; `seen` is what the node said at `seenAt`, and
    `drift` how that is not as wanted.

    `memoryMb` in MiB, `diskGb` in GiB. `ipv4` is empty until it has one, and where the
    only pools are of IPv6.
    `access`: how to get in. `ssh`: as `login`, with one of `sshKeys`. `console`: it has
    no key, and no password is ever set; its screen is behind `POST .../console`, and
    `PUT .../ssh-keys` with a rebuild after it opens it for SSH.
    """

    id: UUID
    tenant_id: UUID
    customer_id: UUID
    subscription_id: UUID
    name: str
    status: Word
    template: str
    hostname: str
    ipv4: str
    ipv6: str | None
    kind: GuestKind
    cpu: int
    memory_mb: int
    disk_gb: int
    login: str
    ssh_keys: list[str]
    access: Literal["ssh", "console"]
    server_id: UUID | None
    suspended_for: SuspensionReason | None
    held_until: Timestamp | None
    seen: str
    seen_at: Timestamp | None
    drift: Drift | None
    live_at: Timestamp | None
    created_at: Timestamp

    @classmethod
    def of(cls, pod: CloudPod) -> "CloudPodOut":
        """In the words of the contract."""
        return cls(
            id=pod.id,
            tenant_id=pod.tenant_id,
            customer_id=pod.customer_id,
            subscription_id=pod.subscription_id,
            name=pod.name,
            status=WORDS[ServiceStatus(pod.status)],
            template=pod.template,
            hostname=pod.hostname,
            ipv4=pod.ipv4 or "",
            ipv6=pod.ipv6,
            kind=GuestKind(pod.kind),
            cpu=pod.cores,
            memory_mb=pod.memory,
            disk_gb=pod.disk,
            login=pod.opens_as,
            ssh_keys=pod.ssh_keys,
            access="ssh" if pod.ssh_keys else "console",
            server_id=pod.server_id,
            suspended_for=pod.suspended_for,
            held_until=pod.held_until,
            seen=pod.seen,
            seen_at=pod.seen_at,
            drift=Drift(pod.drift) if pod.drift else None,
            live_at=pod.live_at,
            created_at=pod.created_at,
        )


class CloudPodIn(CamelModel):
    customer_id: UUID
    subscription_id: UUID
    product_id: UUID
    name: Text
    template: Text
    ssh_keys: SshKeys = ()


class SshKeysIn(CamelModel):
    ssh_keys: SshKeys


class RenameIn(CamelModel):
    name: Text


class SuspendIn(CamelModel):
    """`tenant_request` for operators; `admin` for admins too; `abuse` and `non_payment`
    for the platform."""

    reason: SuspensionReason = SuspensionReason.TENANT_REQUEST


class ResizeIn(CamelModel):
    """What is not named stays. MiB and GiB."""

    cpu: int | None = Field(default=None, ge=1, le=64)
    memory_mb: int | None = Field(default=None, ge=256, le=524_288)
    disk_gb: int | None = Field(default=None, ge=1, le=16_384)


class PodOut(CamelModel):
    id: UUID
    status: Word


class PodJobOut(CamelModel):
    id: UUID
    type: JobKind


class AskedOut(CamelModel):
    """The CloudPod as of now, and the job that will change it."""

    cloud_pod: PodOut
    job: PodJobOut

    @classmethod
    def of(cls, asked: tuple[CloudPod, Job], status: Word | None = None) -> "AskedOut":
        """`status`: what the job will make of it, where the contract says so."""
        pod, job = asked
        word = status or WORDS[ServiceStatus(pod.status)]
        return cls(
            cloud_pod=PodOut(id=pod.id, status=word),
            job=PodJobOut(id=job.id, type=JobKind(job.kind)),
        )


class CloudPodPaging(Paging):
    customer_id: UUID | None = None
    status: Word | None = None


@router.get("", responses=SIGNED_IN)
async def list_cloudpods(
    query: Annotated[CloudPodPaging, Query()], _: Reader, rows: Rows
) -> Page[CloudPodOut]:
    """CloudPods, newest first; former ones too."""
    status = next((ours for ours, word in WORDS.items() if word == query.status), None)
    found = await cloudpods.find(
        rows, query.window, customer_id=query.customer_id, status=status
    )
    shown = [CloudPodOut.of(pod) for pod in found.items]
    return Page[CloudPodOut].of(Slice(shown, found.total))


@router.get("/{id}", responses=ABOUT_ONE)
async def get_cloudpod(cloudpod_id: Id, _: Reader, rows: Rows) -> CloudPodOut:
    """One CloudPod."""
    return CloudPodOut.of(await cloudpods.get(rows, cloudpod_id))


@router.post("", status_code=201, responses=ACTS)
async def create_cloudpod(
    body: CloudPodIn,
    actor: Admin,
    rows: Rows,
    temporal: Temporal,
    settings: Settings,
) -> AskedOut:
    """Build a CloudPod for an active subscription that has none."""
    asked = await service.create(
        rows,
        temporal,
        actor,
        **body.model_dump(),
        platform_domain=settings.platform_domain,
    )
    return AskedOut.of(asked)


@router.patch("/{id}", responses=ACTS)
async def rename_cloudpod(
    cloudpod_id: Id, body: RenameIn, actor: Operator, rows: Rows, temporal: Temporal
) -> AskedOut:
    """Name it otherwise; its host name stays."""
    return AskedOut.of(
        await service.rename(rows, temporal, actor, cloudpod_id, name=body.name)
    )


@router.put("/{id}/ssh-keys", responses=ACTS)
async def set_ssh_keys(
    cloudpod_id: Id, body: SshKeysIn, actor: Operator, rows: Rows
) -> CloudPodOut:
    """Which SSH keys open it from its next rebuild on; those of before do no more.
    What runs now keeps what was put into it."""
    return CloudPodOut.of(
        await service.set_ssh_keys(rows, actor, cloudpod_id, body.ssh_keys)
    )


@router.delete("/{id}", responses=ACTS)
async def delete_cloudpod(
    cloudpod_id: Id, actor: Operator, rows: Rows, temporal: Temporal
) -> AskedOut:
    """Back it up, hold it a while (an abort of the job brings it back), destroy it.
    Its address and VMID rest for a day before reuse."""
    return AskedOut.of(
        await service.delete(rows, temporal, actor, cloudpod_id), "deleting"
    )


@router.post("/{id}/suspend", status_code=200, responses=ACTS)
async def suspend_cloudpod(
    cloudpod_id: Id,
    actor: Operator,
    rows: Rows,
    temporal: Temporal,
    body: SuspendIn | None = None,
) -> AskedOut:
    """Stop it; its data stay. Who has the reason may lift it, and nobody else."""
    reason = (body or SuspendIn()).reason
    return AskedOut.of(
        await service.suspend(rows, temporal, actor, cloudpod_id, reason=reason),
        "suspended",
    )


@router.post("/{id}/resume", status_code=200, responses=ACTS)
async def resume_cloudpod(
    cloudpod_id: Id, actor: Operator, rows: Rows, temporal: Temporal
) -> AskedOut:
    """Bring a suspended CloudPod back."""
    return AskedOut.of(await service.resume(rows, temporal, actor, cloudpod_id))


@router.post("/{id}/restart", status_code=200, responses=ACTS)
async def restart_cloudpod(
    cloudpod_id: Id, actor: Operator, rows: Rows, temporal: Temporal
) -> AskedOut:
    """Let its system end in good order, and start it."""
    return AskedOut.of(await service.restart(rows, temporal, actor, cloudpod_id))


@router.post("/{id}/rebuild", status_code=200, responses=ACTS)
async def rebuild_cloudpod(
    cloudpod_id: Id, actor: Operator, rows: Rows, temporal: Temporal
) -> AskedOut:
    """Make it anew from its template. What is on its disks is lost; its name, address
    and backups stay."""
    return AskedOut.of(await service.rebuild(rows, temporal, actor, cloudpod_id))


@router.post("/{id}/resize", status_code=200, responses=ACTS)
async def resize_cloudpod(
    cloudpod_id: Id, body: ResizeIn, actor: Operator, rows: Rows, temporal: Temporal
) -> AskedOut:
    """Another size: CPU and memory up and down, the disk up. A virtual machine
    restarts for it."""
    asked = await service.resize(
        rows,
        temporal,
        actor,
        cloudpod_id,
        cores=body.cpu,
        memory=body.memory_mb,
        disk=body.disk_gb,
    )
    return AskedOut.of(asked)


@router.get("/{id}/actions", responses=ABOUT_ONE)
async def list_actions(
    cloudpod_id: Id, paging: Paged, _: Reader, rows: Rows
) -> Page[JobOut]:
    """What was asked of it, newest first, and what became of that."""
    await cloudpods.get(rows, cloudpod_id)
    found = await jobs.find(rows, paging.window, subject_id=cloudpod_id)
    shown = [JobOut.of(job) for job in found.items]
    return Page[JobOut].of(Slice(shown, found.total))
