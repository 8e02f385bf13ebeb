"""How everything is that we depend on, from what the workers have written."""

from dataclasses import dataclass
from typing import Final

from models.database import Session
from models.queries import processes
from models.states import Health
from workflows.queues import ALL

# What a worker looks at; without a fresh report it counts as down.
_WATCHED: Final = (
    *("queue", "stripe", "powerdns", "hosting", "proxmox", "backup_store", "mail"),
)
_ABSENT: Final = {"redis": Health.NOT_CONFIGURED}


@dataclass(frozen=True)
class Standstill:
    """Task queues of ours that no living worker serves, and what that means."""

    queues: tuple[str, ...]
    title: str
    means: str
    advice: str


async def dependencies(session: Session) -> dict[str, Health]:
    """Each one's health. Wants the platform's session.

    The queue is degraded while some of our task queues have no worker, and down when
    none has.
    """
    seen = await processes.components(session)
    found = {
        # We would not be here: whoever asks was looked up in it.
        "database": Health.OK,
        **_ABSENT,
        **{one: seen.get(one, Health.DOWN) for one in _WATCHED},
    }
    if found["queue"] == Health.OK and await standstill(session) is not None:
        found["queue"] = Health.DEGRADED
    return found


async def standstill(session: Session) -> Standstill | None:
    """What no job's row can say: those who would write it down are workers, too. Wants
    the platform's session."""
    served = await processes.served(session)
    queues = tuple(one for one in ALL if one not in served)
    if not queues:
        return None
    some = len(queues) < len(ALL)
    command = " ".join(["mpanel worker", *(queues if some else ())])
    return Standstill(
        queues,
        f"No worker serves {', '.join(queues)}" if some else "No worker is up",
        "What waits there stands still, and is perhaps not listed here: it is a worker"
        " that writes down why. Nothing is lost or done twice.",
        f"Start one: `{command}`. Everything goes on by itself.",
    )
