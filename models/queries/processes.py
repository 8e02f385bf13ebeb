"""Which workers live, which queues they serve, and what they see.

Ages are told by the database's clock, so that no machine's own matters.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import func, text
from sqlmodel import col, select

from models.database import Session
from models.processes import WorkerProcess
from models.states import Health

# A worker says so every ten seconds; who was silent for three times that is gone.
GONE_AFTER: Final = timedelta(seconds=30)

# Provider accounts whose component is called otherwise.
_COMPONENT_OF: Final = {"smtp": "mail"}

_FRESH = {"gone": GONE_AFTER}
_BEAT = text(
    "insert into worker_processes (id, created_at, host, pid, version, queues, seen_at)"
    " values (:id, now(), :host, :pid, :version, cast(:queues as jsonb), now())"
    " on conflict (id) do update set seen_at = now()"
)
_REPORT = text(
    "insert into component_reports"
    " (id, created_at, process_id, component, status, detail, checked_at)"
    " values (:id, now(), :process, :component, :status, :detail, now())"
    " on conflict (process_id, component) do update set status = excluded.status,"
    " detail = excluded.detail, checked_at = now()"
)
_FORGET = text("delete from worker_processes where seen_at < now() - interval '1 hour'")
_SERVED = text("select queues from worker_processes where seen_at > now() - :gone")
_SEEN = text(
    "select component, r.status from component_reports r"
    " join worker_processes p on p.id = r.process_id"
    " where seen_at > now() - :gone and checked_at > now() - :gone"
)
_SERVERS = text(
    "select role, last_heartbeat_at > now() - interval '2 min', count(*) from servers"
    " group by 1, 2"
)
_RESTING = text(
    "select split_part(account, ':', 1) from provider_accounts"
    " where blocked_until > now()"
)


@dataclass(frozen=True)
class Seen:
    """`component` is `queue`, `stripe`, ...; `detail` is redacted and short."""

    component: str
    status: Health
    detail: str = ""


async def beat(session: Session, process: WorkerProcess, seen: list[Seen]) -> None:
    """The process lives and has seen this; long silent ones are forgotten."""
    connection = await session.connection()
    await connection.execute(
        _BEAT,
        {
            "id": process.id,
            "host": process.host,
            "pid": process.pid,
            "version": process.version,
            "queues": json.dumps(process.queues),
        },
    )
    for one in seen:
        values = {
            "component": one.component,
            "status": one.status,
            "detail": one.detail,
        }
        await connection.execute(
            _REPORT, {"id": uuid4(), "process": process.id, **values}
        )
    await connection.execute(_FORGET)


async def leave(session: Session, process_id: UUID) -> None:
    """The process ends as it should."""
    process = await session.get(WorkerProcess, process_id)
    if process is not None:
        await session.delete(process)


async def living(session: Session) -> list[WorkerProcess]:
    """Every worker process that was heard of in the last half minute."""
    query = (
        select(WorkerProcess)
        .where(col(WorkerProcess.seen_at) > func.now() - GONE_AFTER)
        .order_by(col(WorkerProcess.created_at))
    )
    return list((await session.exec(query)).all())


async def served(session: Session) -> Mapping[str, int]:
    """How many living processes serve each queue; a queue without one is missing."""
    found = await (await session.connection()).execute(_SERVED, _FRESH)
    return Counter(queue for (queues,) in found for queue in queues)


async def components(session: Session) -> dict[str, Health]:
    """Each component as the living processes see it, all together.

    One that no fresh report tells of is missing.
    """
    connection = await session.connection()
    seen: dict[str, list[str]] = {}
    for component, status in await connection.execute(_SEEN, _FRESH):
        seen.setdefault(component, []).append(status)
    found = {component: _together(all_of_it) for component, all_of_it in seen.items()}
    servers: dict[str, dict[bool, int]] = {"hosting": {}, "proxmox": {}}
    for role, answers, many in await connection.execute(_SERVERS):
        of_role = servers.setdefault(role, {})
        of_role[bool(answers)] = of_role.get(bool(answers), 0) + many
    found |= {role: _of_servers(each) for role, each in servers.items()}
    resting = (await connection.execute(_RESTING)).scalars()
    for provider in {_COMPONENT_OF.get(one, one) for one in resting}:
        if found.get(provider) == Health.OK:
            found[provider] = Health.DEGRADED
    return found


def _together(statuses: list[Any]) -> Health:
    if all(one == Health.OK for one in statuses):
        return Health.OK
    return Health.DEGRADED if Health.OK in statuses else Health.DOWN


def _of_servers(hosts: Mapping[bool, int]) -> Health:
    if not hosts:
        return Health.NOT_CONFIGURED
    if not hosts.get(False):
        return Health.OK
    return Health.DEGRADED if hosts.get(True) else Health.DOWN
