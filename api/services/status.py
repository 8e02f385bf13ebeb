"""How everything is that we depend on, from what the workers have written."""

from typing import Final

from models.database import Session
from models.queries import processes
from models.states import Health
from workflows.queues import ALL

# What a worker looks at; without a fresh report it counts as down.
_WATCHED: Final = ("queue", "stripe", "powerdns", "hosting", "backup_store", "mail")
_ABSENT: Final = {
    "redis": Health.NOT_CONFIGURED,
    "proxmox": Health.NOT_CONFIGURED,
}


async def dependencies(session: Session) -> dict[str, Health]:
    """Each one's health. Wants the platform's session.

    The queue is degraded while some of our task queues have no worker, and down when
    none has.
    """
    seen = await processes.components(session)
    served = await processes.served(session)
    found = {
        # We would not be here: whoever asks was looked up in it.
        "database": Health.OK,
        **_ABSENT,
        **{one: seen.get(one, Health.DOWN) for one in _WATCHED},
    }
    if found["queue"] == Health.OK and not served.keys() >= set(ALL):
        found["queue"] = Health.DEGRADED
    return found
