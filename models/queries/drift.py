"""How the guests of the cluster differ from the CloudPods that we brought about."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text
from sqlmodel import col, select

from models.cloudpods import CloudPod
from models.database import Session
from models.queries.slices import Slice, Window, page
from models.states import Drift, ServiceStatus

_STANDING: Final = (ServiceStatus.ACTIVE, ServiceStatus.SUSPENDED)

# What a job changes just now, or has changed while the nodes were asked, is no drift.
_STEADY: Final = text(
    "select p.id, p.tenant_id, p.name, p.vmid, p.kind, p.status, p.drift,"
    " s.name as node"
    " from cloudpods p join servers s on s.id = p.server_id"
    " where p.status in ('active', 'suspended') and p.vmid is not null"
    " and not exists (select from jobs j where j.subject_id = p.id"
    " and (j.status in ('waiting', 'pending', 'running', 'undoing')"
    " or j.updated_at > :began))"
)
_SEEN: Final = text(
    "update cloudpods set seen = cast(:seen as text), seen_at = now(),"
    " drift = cast(:drift as text) where id = :id"
)
_OVER: Final = text(
    "select id from cloudpods where id = any(:asked)"
    " and status not in ('active', 'suspended')"
)


async def steady(session: Session, began: datetime) -> Sequence[Row[Any]]:
    """CloudPods that nobody has changed since then: id, tenant_id, name, vmid, kind,
    status, drift (as it was told last) and node (its name)."""
    found = await (await session.connection()).execute(_STEADY, {"began": began})
    return found.all()


async def seen(session: Session, rows: list[dict[str, Any]]) -> None:
    """`id`, `seen` and `drift` (or None) of each."""
    if rows:
        await (await session.connection()).execute(_SEEN, rows)


async def over(session: Session, asked: Iterable[UUID]) -> set[UUID]:
    """Those of them that have no guest to look for any more."""
    found = await (await session.connection()).execute(_OVER, {"asked": list(asked)})
    return set(found.scalars())


async def astray(session: Session) -> list[CloudPod]:
    """Whose guest is on another node than its row says; oldest first."""
    found = await session.exec(
        select(CloudPod)
        .where(CloudPod.drift == Drift.ELSEWHERE, col(CloudPod.status).in_(_STANDING))
        .order_by(col(CloudPod.created_at), col(CloudPod.id))
    )
    return list(found.all())


async def find(session: Session, window: Window) -> Slice[CloudPod]:
    """Whose guest is not as wanted, the oldest CloudPod first. One that is on its way
    out has none to look for."""
    query = (
        select(CloudPod)
        .where(col(CloudPod.drift).is_not(None), col(CloudPod.status).in_(_STANDING))
        .order_by(col(CloudPod.created_at), col(CloudPod.id))
    )
    return await page(session, query, window)
