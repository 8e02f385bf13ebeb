"""A ticket for a CloudPod's screen. A worker fetches it: this process holds no key of
the cluster's. It comes sealed, since Temporal keeps what a run answers."""

import asyncio
import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID, uuid4

from cryptography.exceptions import InvalidTag
from temporalio.client import Client, WorkflowFailureError
from temporalio.service import RPCError

from api.auth.actor import Actor
from models.audit import Action
from models.database import Session
from models.errors import Unavailable, WrongState
from models.queries import audit, cloudpods
from models.states import ServiceStatus
from models.vault import Vault
from workflows.consoles import ConsoleCall
from workflows.names import CONSOLE
from workflows.queues import STORIES

# Somebody waits in front of a screen; the ticket itself lives for 40 seconds.
PATIENCE: Final = 12.0
VALID: Final = 40


@dataclass(frozen=True)
class Ticket:
    """For a websocket at `path` on `node`."""

    node: str
    path: str
    port: int
    ticket: str
    valid_seconds: int = VALID


async def open_one(
    session: Session, temporal: Client, vault: Vault, actor: Actor, cloudpod_id: UUID
) -> Ticket:
    """One ticket for one connection. Raises `NotFound`, `WrongState` if the CloudPod
    is not active, and `Unavailable` if no worker or its node does not answer."""
    pod = await cloudpods.get(session, cloudpod_id)
    if pod.status != ServiceStatus.ACTIVE:
        raise WrongState(f"the CloudPod is {pod.status}", status=str(pod.status))
    await audit.record(
        session,
        tenant_id=pod.tenant_id,
        by=actor.by,
        action=Action.CLOUDPOD_CONSOLE_OPENED,
        entity="cloudpod",
        entity_id=pod.id,
    )
    await session.commit()
    call = ConsoleCall(pod.tenant_id, pod.id, uuid4())
    sealed = await _fetch(temporal, call)
    try:
        told = json.loads(vault.open(sealed, bound_to=call.bound))
    except (InvalidTag, KeyError, ValueError):
        raise Unavailable("the worker seals with other keys than ours") from None
    return Ticket(**told)


async def _fetch(temporal: Client, call: ConsoleCall) -> str:
    try:
        async with asyncio.timeout(PATIENCE):
            sealed: str = await temporal.execute_workflow(
                CONSOLE,
                call,
                id=f"console:{call.id}",
                task_queue=STORIES,
                execution_timeout=timedelta(seconds=PATIENCE),
                static_summary=f"console {str(call.cloudpod_id)[:8]}",
            )
    except (TimeoutError, RPCError, RuntimeError, WorkflowFailureError):
        raise Unavailable(
            "its node gave no ticket in time; try again", retry_after=5
        ) from None
    return sealed
