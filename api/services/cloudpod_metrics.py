"""What a CloudPod used, as a series that a graph can show."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from models.base import utc_now
from models.database import Session
from models.errors import Invalid
from models.queries import cloudpods, samples

POINTS: Final = 500
LONGEST: Final = timedelta(days=31)
_MINUTE: Final = timedelta(minutes=1)
_HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True)
class Series:
    """Means over each `step`, of the times that anything is known of."""

    start: datetime
    until: datetime
    step: timedelta
    points: Sequence[Any]


async def series(
    session: Session, cloudpod_id: UUID, start: datetime | None, until: datetime | None
) -> Series:
    """The last hour, if nothing is said. Raises `NotFound`, `Invalid`."""
    pod = await cloudpods.get(session, cloudpod_id)
    until = until or utc_now()
    if not 2000 <= until.year < 2100:
        raise Invalid("to", "want a moment between the years 2000 and 2100")
    start = start or until - _HOUR
    if not timedelta(0) < until - start <= LONGEST:
        raise Invalid("from", f"want a moment before `to`, {LONGEST.days} days at most")
    step = max(_MINUTE, _MINUTE * -(-(until - start) // (POINTS * _MINUTE)))
    found = await samples.series(session, pod.id, start, until, step)
    return Series(start, until, step, found)
