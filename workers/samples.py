"""What CloudPods use, from their nodes' own figures.

A node keeps the last hour by the minute, so a worker that was away for less misses
nothing, and two workers add nothing twice. Nor does a clock that was ahead for a while
end a series: what lies in the future is not kept.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import structlog

from activities.errors import ProviderError
from activities.providers.proxmox import Place
from models.database import Database
from models.queries import samples

_AT_ONCE: Final = 8
_log = structlog.get_logger(__name__)


class Figures(Protocol):
    """See `activities.providers.proxmox`."""

    async def series(self, place: Place) -> list[Mapping[str, Any]]: ...


class Sampler:
    """Each CloudPod's own node is asked; one that is away keeps nobody waiting."""

    def __init__(self, db: Database, cluster: Figures) -> None:
        self._db, self._cluster = db, cluster
        self._limit = asyncio.Semaphore(_AT_ONCE)

    async def round(self) -> None:
        """Keeps what is new of every active CloudPod, and forgets what is old."""
        async with self._db.looking() as session:
            pods = await samples.measured(session)
        asked = await asyncio.gather(*map(self._of, pods), return_exceptions=True)
        missed = [one for one in asked if isinstance(one, BaseException)]
        async with self._db.platform() as session:
            for found in asked:
                if not isinstance(found, BaseException):
                    await samples.add(session, found)
            await samples.forget(session)
            await session.commit()
        for error in missed:
            if not isinstance(error, ProviderError):
                raise error
        if missed:
            _log.warning("samples_missed", pods=len(missed), first=str(missed[0]))

    async def _of(self, pod: Any) -> list[dict[str, Any]]:
        async with self._limit:
            rows = await self._cluster.series(Place(pod.node, pod.kind, pod.vmid))
        return [
            {"cloudpod_id": pod.id, "tenant_id": pod.tenant_id, **one}
            for one in read(rows)
            if one["at"] <= pod.latest
            and (pod.newest is None or one["at"] > pod.newest)
        ]


def read(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Samples of what a node tells. Minutes of which it knows nothing have no `cpu`."""
    return [
        {
            "at": datetime.fromtimestamp(int(row["time"]), UTC),
            "cpu": float(row["cpu"]),
            "memory": int(row.get("mem") or 0),
            "disk": int(row.get("disk") or 0),
            "net_in": float(row.get("netin") or 0),
            "net_out": float(row.get("netout") or 0),
        }
        for row in rows
        if row.get("cpu") is not None
    ]
