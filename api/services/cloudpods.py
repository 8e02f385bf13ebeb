"""What people ask of CloudPods. Each is a job; of each kind one may be open, and the
CloudPod's life does them one after the other."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy.exc import IntegrityError
from temporalio.client import Client

from api.auth.actor import Actor
from api.services import decisions
from api.services.starting import announce, start_soon
from models.audit import Action
from models.cloudpods import (
    POSSIBLE_IN,
    CloudPod,
    CloudPodSave,
    pod_name,
    save_name,
)
from models.database import Session
from models.errors import Conflict, Denied, Invalid, NotFound, WrongState
from models.jobs import Job
from models.queries import (
    audit,
    cloudpods,
    customers,
    jobs,
    products,
    subscriptions,
)
from models.ssh_keys import ssh_keys as checked
from models.states import (
    BackupStatus,
    JobKind,
    JobStatus,
    SaveKind,
    ServiceStatus,
    SuspensionReason,
)
from models.users import Role

Asked = tuple[CloudPod, Job]

_SUSPEND, _RESUME = JobKind.CLOUDPOD_SUSPEND, JobKind.CLOUDPOD_RESUME
_KEEPS: Final = {
    SaveKind.SNAPSHOT: JobKind.CLOUDPOD_SNAPSHOT,
    SaveKind.BACKUP: JobKind.CLOUDPOD_BACKUP,
}
_BRINGS_BACK: Final = {
    SaveKind.SNAPSHOT: JobKind.CLOUDPOD_ROLLBACK,
    SaveKind.BACKUP: JobKind.CLOUDPOD_RESTORE,
}


async def create(
    session: Session,
    temporal: Client,
    actor: Actor,
    *,
    customer_id: UUID,
    subscription_id: UUID,
    product_id: UUID,
    name: str,
    template: str,
    platform_domain: str,
    ssh_keys: Sequence[str] = (),
) -> Asked:
    """A pending CloudPod for a subscription that has none, and the job that builds it.

    Raises `NotFound`, `Invalid`, `WrongState` (the subscription is not active) or
    `Conflict` (it has a CloudPod).
    """
    name = pod_name(name, field="name")
    keys = checked(ssh_keys, field="sshKeys")
    customer = await customers.get(session, customer_id)
    # Locked, so that of two requests for one subscription the second sees the first.
    subscription = await subscriptions.get(session, subscription_id, lock=True)
    if subscription.customer_id != customer.id:
        raise Invalid("subscriptionId", "the subscription is another customer's")
    if subscription.product_id != product_id:
        raise Invalid("productId", "the subscription is of another product")
    product = await products.get(session, product_id)
    if product.delivers.get("kind") != "cloudpod":
        raise Invalid("productId", f"{product.name} has no CloudPod")
    if template != product.sku:
        raise Invalid("template", f"{product.name} is built from {product.sku}")
    if subscription.status != ServiceStatus.ACTIVE:
        status = str(subscription.status)
        raise WrongState(f"the subscription is {status}, not active", status=status)
    standing = await cloudpods.living_of(session, subscription.id)
    if standing is not None:
        raise Conflict(
            "the subscription has a CloudPod already", cloudpod_id=str(standing.id)
        )
    pod = cloudpods.drawn(
        product,
        subscription,
        pod_id=uuid4(),
        name=name,
        platform_domain=platform_domain,
        ssh_keys=keys,
    )
    session.add(pod)
    await session.flush()
    job = _job(pod, JobKind.CLOUDPOD_PROVISION, actor)
    await jobs.add_exclusive(session, job)
    await _go(session, temporal, job)
    return pod, job


async def suspend(
    session: Session,
    temporal: Client,
    actor: Actor,
    cloudpod_id: UUID,
    *,
    reason: SuspensionReason,
) -> Asked:
    """The job that stops the CloudPod, or suspends it for another reason: who may lift
    the one that it has may replace it. Raises as `delete`, and `Denied`."""
    own = reasons_of(actor)
    if reason not in own:
        raise Denied(f"suspending for {reason} is not for your role")
    pod = await cloudpods.get(session, cloudpod_id)
    why = pod.suspended_for
    if pod.status == ServiceStatus.SUSPENDED and (why == reason or why not in own):
        raise WrongState(
            f"the CloudPod is suspended for {why} already", status=str(pod.status)
        )
    given = {"reason": str(reason), "lifts": sorted(map(str, own))}
    return await _ask(session, temporal, actor, cloudpod_id, _SUSPEND, given)


async def resume(
    session: Session, temporal: Client, actor: Actor, cloudpod_id: UUID
) -> Asked:
    """The job that brings the CloudPod back. Only who has the reason of its suspension
    lifts it: raises `Denied` for everybody else."""
    pod = await cloudpods.get(session, cloudpod_id)
    why, own = pod.suspended_for, reasons_of(actor)
    if why is not None and why not in own:
        raise Denied(f"it is suspended for {why}, which is not yours to lift")
    given = {"lifts": sorted(map(str, own))}
    return await _ask(session, temporal, actor, cloudpod_id, _RESUME, given)


async def restart(
    session: Session, temporal: Client, actor: Actor, cloudpod_id: UUID
) -> Asked:
    """The job that restarts it. Raises as `delete`."""
    return await _ask(session, temporal, actor, cloudpod_id, JobKind.CLOUDPOD_RESTART)


async def rebuild(
    session: Session, temporal: Client, actor: Actor, cloudpod_id: UUID
) -> Asked:
    """The job that makes it anew from its template. Raises as `delete`."""
    return await _ask(session, temporal, actor, cloudpod_id, JobKind.CLOUDPOD_REBUILD)


async def repair(
    session: Session, temporal: Client, actor: Actor, cloudpod_id: UUID
) -> Asked:
    """The job that brings its guest back to what the CloudPod is. Raises as `delete`,
    and `WrongState` if its guest is as it should be, as far as is known."""
    pod = await cloudpods.get(session, cloudpod_id)
    if pod.drift is None and pod.status in POSSIBLE_IN[JobKind.CLOUDPOD_REPAIR]:
        raise WrongState(
            f"its guest is as it should be: {pod.seen}", status=str(pod.status)
        )
    return await _ask(session, temporal, actor, cloudpod_id, JobKind.CLOUDPOD_REPAIR)


async def rename(
    session: Session, temporal: Client, actor: Actor, cloudpod_id: UUID, *, name: str
) -> Asked:
    """The job that names it so. Raises as `delete`, and `Invalid`."""
    given = {"name": pod_name(name, field="name")}
    kind = JobKind.CLOUDPOD_RENAME
    return await _ask(session, temporal, actor, cloudpod_id, kind, given)


async def set_ssh_keys(
    session: Session, actor: Actor, cloudpod_id: UUID, given: Sequence[str]
) -> CloudPod:
    """Which keys open it once it is built anew. Raises `NotFound`, `Invalid`, and
    `WrongState` if it is gone."""
    keys = checked(given, field="sshKeys")
    pod = await cloudpods.get(session, cloudpod_id, lock=True)
    if pod.status in (ServiceStatus.TERMINATING, ServiceStatus.TERMINATED):
        raise WrongState(f"the CloudPod is {pod.status}", status=str(pod.status))
    pod.ssh_keys = keys
    await audit.record(
        session,
        tenant_id=pod.tenant_id,
        by=actor.by,
        action=Action.CLOUDPOD_KEYS_SET,
        entity="cloudpod",
        entity_id=pod.id,
        details={"keys": keys},
    )
    await session.commit()
    return pod


async def resize(
    session: Session,
    temporal: Client,
    actor: Actor,
    cloudpod_id: UUID,
    *,
    cores: int | None = None,
    memory: int | None = None,
    disk: int | None = None,
) -> Asked:
    """The job that gives it this size; what is None stays. MiB and GiB.

    Raises as `delete`, and `Invalid` (a smaller disk, or nothing that changes).
    """
    pod = await cloudpods.get(session, cloudpod_id)
    before = {"cores": pod.cores, "memory": pod.memory, "disk": pod.disk}
    asked = {"cores": cores, "memory": memory, "disk": disk}
    wanted = before | {key: size for key, size in asked.items() if size is not None}
    if wanted["disk"] < pod.disk:
        raise Invalid(
            "diskGb",
            f"a disk cannot shrink: the file system on it would be cut off; it has"
            f" {pod.disk} GiB",
        )
    if wanted == before:
        raise Invalid("cpu", "name at least one size that differs from today's")
    given = {"from": before, "to": wanted}
    kind = JobKind.CLOUDPOD_RESIZE
    return await _ask(session, temporal, actor, cloudpod_id, kind, given)


async def save(
    session: Session,
    temporal: Client,
    actor: Actor,
    cloudpod_id: UUID,
    kind: SaveKind,
    *,
    name: str | None = None,
) -> tuple[CloudPod, Job, CloudPodSave]:
    """The job that keeps its present state, and the row that it will fill.

    Raises as `delete`, `Invalid` and `Conflict` (the name is taken).
    """
    job_kind = _KEEPS[kind]
    job_id = uuid4()
    label = save_name(name, field="name") if name else f"{kind}-{job_id.hex[:8]}"
    pod, job = await _draw(session, actor, cloudpod_id, job_kind, job_id=job_id)
    kept = CloudPodSave(
        tenant_id=pod.tenant_id,
        cloudpod_id=pod.id,
        job_id=job.id,
        kind=kind,
        name=label,
    )
    await cloudpods.fail_unkept(session, pod.id)
    try:
        async with session.begin_nested():
            session.add(kept)
    except IntegrityError:
        raise Conflict(f"there is a {kind} named {label} already") from None
    await _go(session, temporal, job)
    return pod, job, kept


async def go_back(
    session: Session,
    temporal: Client,
    actor: Actor,
    cloudpod_id: UUID,
    save_id: UUID,
    kind: SaveKind,
) -> Asked:
    """The job that brings a kept state back. Raises as `delete`, `WrongState` if the
    state is not stored."""
    kept = await session.get(CloudPodSave, save_id)
    if kept is None or (kept.cloudpod_id, kept.kind) != (cloudpod_id, kind):
        raise NotFound(f"there is no {kind} {save_id}")
    if kept.status != BackupStatus.STORED:
        raise WrongState(f"the {kind} is {kept.status}", status=str(kept.status))
    given = {"save_id": str(kept.id)}
    return await _ask(session, temporal, actor, cloudpod_id, _BRINGS_BACK[kind], given)


async def delete(
    session: Session, temporal: Client, actor: Actor, cloudpod_id: UUID
) -> Asked:
    """The job that takes the CloudPod away, after a backup and a time to call it off.

    What is open for it is aborted first, also its provisioning, but for a suspension
    that the actor could not lift: all of it is asked for, or nothing. Raises
    `NotFound`, `Busy` (the same is asked already; its job and state are told) or
    `WrongState`.
    """
    pod, job = await _draw(session, actor, cloudpod_id, JobKind.CLOUDPOD_DELETE)
    for other in await jobs.open_of(session, pod.id):
        over = other.id == job.id or other.status == JobStatus.UNDOING
        if not over and not _is_beyond(actor, other):
            await decisions.add_abort(
                session,
                actor,
                other.id,
                scope=decisions.Scope.ITEM,
                why="the CloudPod is being removed",
            )
    await _go(session, temporal, job)
    return pod, job


def _is_beyond(actor: Actor, job: Job) -> bool:
    """Else whoever deletes a CloudPod and calls that off would escape a suspension."""
    return job.kind == _SUSPEND and job.input.get("reason") not in reasons_of(actor)


def reasons_of(actor: Actor) -> frozenset[SuspensionReason]:
    """For which the actor may suspend, and which the actor may lift."""
    if actor.platform:
        return frozenset(SuspensionReason)
    if Role.ADMIN in actor.roles:
        return frozenset({SuspensionReason.TENANT_REQUEST, SuspensionReason.ADMIN})
    return frozenset({SuspensionReason.TENANT_REQUEST})


async def _ask(
    session: Session,
    temporal: Client,
    actor: Actor,
    cloudpod_id: UUID,
    kind: JobKind,
    given: dict[str, Any] | None = None,
) -> Asked:
    pod, job = await _draw(session, actor, cloudpod_id, kind, given)
    await _go(session, temporal, job)
    return pod, job


async def _draw(
    session: Session,
    actor: Actor,
    cloudpod_id: UUID,
    kind: JobKind,
    given: dict[str, Any] | None = None,
    *,
    job_id: UUID | None = None,
) -> Asked:
    """An open job of the same kind is told before a wrong state."""
    pod = await cloudpods.get(session, cloudpod_id, lock=True)
    job = _job(pod, kind, actor)
    job.id, job.input, job.exclusive = job_id or job.id, given or {}, False
    await jobs.add_exclusive(session, job)
    if pod.status not in POSSIBLE_IN[kind]:
        raise WrongState(f"the CloudPod is {pod.status}", status=str(pod.status))
    return pod, job


def _job(pod: CloudPod, kind: JobKind, actor: Actor) -> Job:
    return Job(
        tenant_id=pod.tenant_id,
        kind=kind,
        subject_id=pod.id,
        requested_by=actor.id,
    )


async def _go(session: Session, temporal: Client, job: Job) -> None:
    await announce(session)
    await session.commit()
    start_soon(temporal, job)
