"""Keeping what CloudPods used, and reading it as a series."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text

from models.database import Session

KEPT: Final = timedelta(days=30)
# How far ahead of the database's a node's clock may be.
AHEAD: Final = timedelta(minutes=2)

_MEASURED: Final = text(
    "select p.id, p.tenant_id, p.vmid, p.kind, s.name as node, (select max(at)"
    " from cloudpod_samples m where m.cloudpod_id = p.id and at <= latest)"
    " as newest, latest"
    " from cloudpods p join servers s on s.id = p.server_id,"
    " cast(now() + :ahead as timestamptz) as latest"
    " where p.status = 'active' and p.vmid is not null order by p.id"
)
_ADD: Final = text(
    "insert into cloudpod_samples"
    " (cloudpod_id, tenant_id, at, cpu, memory, disk, net_in, net_out) values"
    " (:cloudpod_id, :tenant_id, :at, :cpu, :memory, :disk, :net_in, :net_out)"
    " on conflict do nothing"
)
_FORGET: Final = text("delete from cloudpod_samples where at < now() - :kept")
_SERIES: Final = text(
    "select date_bin(:step, at, :start) as at, avg(cpu) as cpu, avg(memory) as memory,"
    " avg(disk) as disk, avg(net_in) as net_in, avg(net_out) as net_out"
    " from cloudpod_samples where cloudpod_id = :pod and at >= :start and at < :until"
    " group by 1 order by 1"
)


async def measured(session: Session) -> Sequence[Row[Any]]:
    """Whom to ask about: id, tenant_id, vmid, kind, node (its name), `newest`, the
    moment of the last sample, and `latest`: what a clock tells beyond it is wrong."""
    given = {"ahead": AHEAD}
    return (await (await session.connection()).execute(_MEASURED, given)).all()


async def add(session: Session, samples: Sequence[Mapping[str, Any]]) -> None:
    """One that is there already stays."""
    if samples:
        await (await session.connection()).execute(_ADD, [dict(s) for s in samples])


async def forget(session: Session) -> None:
    """Those past their time."""
    await (await session.connection()).execute(_FORGET, {"kept": KEPT})


async def series(
    session: Session, pod_id: UUID, start: datetime, until: datetime, step: timedelta
) -> Sequence[Row[Any]]:
    """Means over each `step` that has any: at, cpu, memory, disk, net_in, net_out."""
    given = {"pod": pod_id, "start": start, "until": until, "step": step}
    return (await (await session.connection()).execute(_SERIES, given)).all()
