"""The machines that carry what is sold: the platform's own, for its own people."""

from uuid import UUID

from temporalio.client import Client

from api.auth.actor import Actor
from api.services import decisions
from api.services.starting import announce, start_soon
from models.audit import Action
from models.database import Session
from models.errors import Denied
from models.jobs import Job
from models.queries import audit, jobs, servers
from models.queries.servers import Watched
from models.queries.slices import Slice, Window
from models.servers import PROXMOX
from models.states import JobKind, JobStatus
from models.tenants import MIGRAHOSTING


async def find(platform: Session, actor: Actor, window: Window) -> Slice[Watched]:
    """By name. Raises `Denied` for another company's people."""
    _check(actor)
    return await servers.find(platform, window)


async def get(platform: Session, actor: Actor, server_id: UUID) -> Watched:
    """One of them. Raises `Denied`, `NotFound`."""
    _check(actor)
    return await servers.get(platform, server_id)


async def drain(
    session: Session, temporal: Client, actor: Actor, server_id: UUID
) -> tuple[Watched, Job | None]:
    """Nothing new is placed there from now on. What a node of the cluster carries is
    moved away by the job; the websites of a hosting server stay, and there is no job.

    Raises `NotFound` or `Busy`.
    """
    node = (await servers.get(session, server_id)).server
    job = None
    if node.role == PROXMOX:
        job = Job(
            tenant_id=MIGRAHOSTING,
            kind=JobKind.NODE_DRAIN,
            subject_id=node.id,
            requested_by=actor.id,
        )
        await jobs.add_exclusive(session, job)
        await announce(session)
    node.draining = True
    await _record(session, actor, Action.NODE_DRAINED, node.id, job)
    await session.commit()
    if job is not None:
        start_soon(temporal, job)
    return await servers.get(session, server_id), job


async def undrain(session: Session, actor: Actor, server_id: UUID) -> Watched:
    """It takes what is new again; a drain that is under way is aborted, and the
    moves that it has asked for go on. Raises `NotFound`, `StepUpRequired`."""
    node = (await servers.get(session, server_id)).server
    for job in await jobs.open_of(session, node.id):
        if job.status != JobStatus.UNDOING:
            why = "the node takes CloudPods again"
            scope = decisions.Scope.ITEM
            await decisions.abort(session, actor, job.id, scope=scope, why=why)
    node = (await servers.get(session, server_id)).server
    node.draining = False
    await _record(session, actor, Action.NODE_UNDRAINED, node.id)
    await session.commit()
    return await servers.get(session, server_id)


async def _record(
    session: Session,
    actor: Actor,
    action: Action,
    server_id: UUID,
    job: Job | None = None,
) -> None:
    await audit.record(
        session,
        tenant_id=MIGRAHOSTING,
        by=actor.by,
        action=action,
        entity="server",
        entity_id=server_id,
        details={"jobId": str(job.id)} if job else None,
    )


def _check(actor: Actor) -> None:
    if not actor.staff:
        raise Denied("the platform's machines are shown to its own administrators")
