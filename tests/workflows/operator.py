"""An operator at work: decisions as the API writes them, and what they see of a job."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlmodel import select

from api.auth.actor import Actor
from api.services import decisions
from api.services.decisions import Scope, Wish
from models.alerts import Alert
from models.jobs import Decision, Job, JobStep
from models.orders import Order
from models.queries import jobs
from models.states import Act, AlertStatus
from models.subscriptions import Subscription
from models.tenants import MIGRAHOSTING
from models.users import Role
from tests.world import World

OPERATOR = Actor(
    kind="user",
    id=uuid4(),
    tenant_id=MIGRAHOSTING,
    roles=frozenset({Role.OPERATOR}),
    author="Olga Operator",
    session_id=uuid4(),
)


async def retry(world: World, job: Job, step: str | None = None) -> Decision:
    """One click on "go on"."""
    async with world.db.platform() as session:
        wish = Wish(Act.RETRY, "the cause is gone", step)
        return await decisions.go_on(session, OPERATOR, job.id, wish)


async def skip(world: World, job: Job, step: str | None = None) -> Decision:
    async with world.db.platform() as session:
        wish = Wish(Act.SKIP, "not needed", step)
        return await decisions.go_on(session, OPERATOR, job.id, wish)


async def abort_item(world: World, job: Job) -> Decision:
    async with world.db.platform() as session:
        return await decisions.abort(
            session, OPERATOR, job.id, scope=Scope.ITEM, why="does not work"
        )


async def abort_order(world: World, job: Job) -> Decision:
    async with world.db.platform() as session:
        return await decisions.abort(
            session, OPERATOR, job.id, scope=Scope.ORDER, why="the customer asked"
        )


async def alerts(world: World, job: Job) -> list[Alert]:
    """The job's alerts that are open."""
    async with world.db.platform() as session:
        found = await session.exec(
            select(Alert).where(
                Alert.job_id == job.id, Alert.status != AlertStatus.RESOLVED
            )
        )
        return list(found)


async def mails_about(world: World, job: Job) -> list[dict[str, Any]]:
    """The mails that name the job; `at` is when each came."""
    return await mails_with(world, str(job.id))


async def mails_with(world: World, word: str) -> list[dict[str, Any]]:
    """The mails in whose text the word stands."""
    kept = world.providers.mail.store.each("message")
    return [mail for mail in kept if word in (mail["text"] or "")]


async def timeline(world: World, job: Job) -> dict[str, str]:
    """{step: status}"""
    return {one.name: str(one.status) for one in await steps(world, job)}


async def steps(world: World, job: Job) -> Sequence[JobStep]:
    async with world.db.platform() as session:
        return await jobs.steps(session, job.id)


async def refunds(world: World, order: Order) -> list[int]:
    """The amounts that Stripe gave back to the order's customer, smallest first."""
    stripe = world.wired.stripe
    since = order.created_at - timedelta(days=1)
    assert order.stripe_customer_id is not None
    amounts: list[int] = []
    for paid in await stripe.payments_of(order.stripe_customer_id, since=since):
        amounts += [refund.amount for refund in await stripe.refunds(paid.id)]
    return sorted(amounts)


async def subscriptions(world: World, order: Order) -> list[str]:
    """The states of what was bought, in no order."""
    async with world.db.platform() as session:
        found = await session.exec(
            select(Subscription.status).where(
                Subscription.customer_id == order.customer_id
            )
        )
        return [str(status) for status in found]


async def decision(world: World, decision_id: UUID) -> Decision:
    """The row as it is now."""
    return await world.read(Decision, decision_id)
