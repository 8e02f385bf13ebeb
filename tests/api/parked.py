"""Jobs that wait for people, as the worker would have left them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx

from models.base import utc_now
from models.database import Database
from models.effects import Effect
from models.jobs import Job, JobStep
from models.orders import Order
from models.payments import PaymentClaim
from models.states import (
    EffectState,
    JobStatus,
    OrderStatus,
    Reason,
    StepStatus,
)
from models.tenants import MIGRAHOSTING
from tests.api import rows
from tests.api.shop import buy, order

INBOX = "/api/operator/inbox"


@dataclass(frozen=True)
class Placed:
    """An order with hosting and backups, as the webhook made it. `payment`: of it, if
    it was claimed."""

    order_id: UUID
    root: UUID
    website: UUID
    backups: UUID
    payment: str = ""


Place = Callable[..., Awaitable[Placed]]


def placing(db: Database, api: httpx.AsyncClient) -> Place:
    """How an order is placed whose lines have begun."""

    async def place(**changes: Any) -> Placed:
        """A paid order whose lines have begun."""
        key = uuid4().hex[:8]
        given = {
            "customerEmail": f"{key}@example.com",
            "stripeCustomerId": f"cus_{key}",
        }
        body = (await buy(api, order(**given | changes), idempotency_key=key)).json()
        website, backups = (UUID(task["id"]) for task in body["tasks"])
        placed = Placed(
            UUID(body["orderId"]), UUID(body["jobId"]), website, backups, f"pi_{key}"
        )
        await put(db, placed.root, JobStatus.RUNNING)
        async with db.platform() as session:
            bought = await session.get_one(Order, placed.order_id)
            bought.status = OrderStatus.FULFILLING
            session.add(
                PaymentClaim(
                    tenant_id=MIGRAHOSTING,
                    stripe_payment_intent_id=placed.payment,
                    stripe_charge_id=placed.payment.replace("pi_", "ch_"),
                    order_id=placed.order_id,
                    amount=bought.total,
                    currency="usd",
                )
            )
            await session.commit()
        return placed

    return place


async def put(db: Database, job_id: UUID, status: JobStatus, **values: Any) -> None:
    """The job as the worker would have left it."""
    async with db.platform() as session:
        job = await session.get_one(Job, job_id)
        job.status, job.started_generation = status, job.generation
        for name, value in values.items():
            setattr(job, name, value)
        await session.commit()


async def park(db: Database, job_id: UUID, **values: Any) -> None:
    """It waits at `create_site`, since the hosting server refuses our key."""
    given = {
        "step": "create_site",
        "reason": Reason.REJECTED,
        "message": "hosting: the server refuses our client key",
        "provider": "hosting",
        "error_class": "rejected",
        "error_code": "key_refused",
    }
    values = given | values
    await put(db, job_id, JobStatus.NEEDS_ATTENTION, **values)
    await rows.add(
        db,
        JobStep(
            tenant_id=MIGRAHOSTING,
            job_id=job_id,
            name=values["step"],
            status=StepStatus.PARKED,
            generation=1,
            scheduled_at=utc_now(),
            tried_at=utc_now(),
            phase=1,
            tries=1,
            code=values["reason"],
            message=values["message"],
        ),
    )


async def made(db: Database, job_id: UUID, kind: str, **values: Any) -> Effect:
    """Something the job has at a provider."""
    async with db.platform() as session:
        job = await session.get_one(Job, job_id)
    given = {
        "provider": {"site": "cloudpanel", "record": "powerdns"}[kind],
        "reference": str(uuid4()),
        "account": "srv1" if kind == "site" else "",
        "state": EffectState.PRESENT,
        "remote_id": f"mp{uuid4().hex[:12]}",
        "facts": {"domain": "ada.example", "name": "ada.example"},
    }
    effect = Effect(
        tenant_id=job.tenant_id,
        job_id=job_id,
        owner_id=job.subject_id,
        kind=kind,
        **given | values,
    )
    await rows.add(db, effect)
    return effect


async def get(client: httpx.AsyncClient, path: str, **params: Any) -> Any:
    answer = await client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def act(detail: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [one for one in detail["acts"] if one["act"] == name]
    return found
