"""Every path that a run can take, walked on real parts.

Each gives the id of the run whose history is the path. `tests/histories` holds one
history per path; `pytest tests/workflows/test_replay.py --record-histories` walks them
again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlmodel import select

from api.auth.actor import Actor
from api.services.decisions import Scope, Wish, abort, go_on
from models.backups import Backup
from models.base import utc_now
from models.jobs import Job, JobStep
from models.orders import Order
from models.queries import backups
from models.states import Act, BackupStatus, JobKind, JobStatus, StepStatus
from models.tenants import MIGRAHOSTING
from models.users import Role
from models.websites import Website
from tests.world import World
from workflows.schedules import schedule_id

Path = Callable[[World], Awaitable[str]]

PRICE = 5498  # wp_growth 49.99 + daily_backups_30d 4.99
OPERATOR = Actor(
    kind="user",
    id=uuid4(),
    tenant_id=MIGRAHOSTING,
    roles=frozenset({Role.OPERATOR}),
    author="Olga Operator",
    session_id=uuid4(),
)
REFUSED = {
    "kind": "reject",
    "op": "clpctl site:add:*",
    "message": "no such PHP version",
}


async def paid_order(here: World, *, amount: int = PRICE, number: int = 1) -> Order:
    """Hosting with daily backups, paid before it is placed."""
    email = f"c{number}@example.com"
    paid = await here.pay(amount, email=email)
    return await here.order(customer=paid["customer"]["id"], email=email)


async def job_of_line(here: World, order: Order, kind: JobKind) -> Job:
    """The job that delivers the order's line of this kind."""
    return (await here.jobs(order))[kind]


async def parked_at_site(here: World, *, number: int = 1) -> tuple[Order, Job]:
    """An order whose website's job waits because the hosting server refused."""
    await here.fault("hosting", REFUSED)
    order = await paid_order(here, number=number)
    website = await job_of_line(here, order, JobKind.WEBSITE_PROVISION)
    job = await here.parked(website)
    await here.fault("hosting")
    return order, job


async def decide(
    here: World, job: Job, act: Act, correction: Mapping[str, str] | None = None
) -> UUID:
    """An operator's decision, as the API takes it. Gives its id."""
    async with here.db.tenant(job.tenant_id) as session:
        if act in (Act.ABORT_ITEM, Act.ABORT_ORDER):
            scope = Scope.ORDER if act is Act.ABORT_ORDER else Scope.ITEM
            made = await abort(session, OPERATOR, job.id, scope=scope, why="test")
        else:
            wish = Wish(act, "test", None, correction or {})
            made = await go_on(session, OPERATOR, job.id, wish)
        return made.id


async def finished(here: World, job: Job, status: JobStatus) -> str:
    """The id of the job's last run, when it has ended with `status`."""
    done = await here.ended(await here.read(Job, job.id))
    assert done.status == status, (done.status, done.reason, done.message)
    return done.workflow_id


async def live(here: World) -> Order:
    """An order whose lines are all delivered."""
    order = await paid_order(here)
    await finished(here, await here.job_of(order), JobStatus.SUCCEEDED)
    return order


async def ordered(here: World, kind: JobKind) -> str:
    """The run of this kind that an undisturbed order makes."""
    order = await live(here)
    return await finished(here, (await here.jobs(order))[kind], JobStatus.SUCCEEDED)


async def order_with_item_aborted(here: World) -> str:
    order, website = await parked_at_site(here)
    await decide(here, website, Act.ABORT_ITEM)
    return await finished(here, await here.job_of(order), JobStatus.SUCCEEDED)


async def order_aborted(here: World) -> str:
    order, website = await parked_at_site(here)
    await decide(here, website, Act.ABORT_ORDER)
    return await finished(here, await here.job_of(order), JobStatus.FAILED)


async def order_expired(here: World) -> str:
    customer = (await here.pay(1, status="processing"))["customer"]["id"]
    job = await here.job_of(await here.order(customer=customer))
    await here.until(
        lambda: here.read(Job, job.id), lambda one: one.status == JobStatus.RUNNING
    )
    async with here.db.platform() as session:
        row = await session.get_one(Job, job.id)
        row.started_at = utc_now() - timedelta(days=7, minutes=1)
        await session.commit()

    async def asked() -> Job:
        await here.wired.stripe_watch.ask_now(job)
        await asyncio.sleep(0.5)
        return await here.read(Job, job.id)

    await here.until(asked, lambda one: one.status == JobStatus.FAILED)
    return await finished(here, job, JobStatus.FAILED)


async def order_parked_and_retried(here: World) -> str:
    paid = await here.pay(PRICE + 1)
    order = await here.order(customer=paid["customer"]["id"])
    job = await here.parked(await here.job_of(order))
    payment = {"paymentIntentId": paid["payment_intent"]["id"]}
    await decide(here, job, Act.RETRY, payment)
    return await finished(here, job, JobStatus.SUCCEEDED)


async def order_begun_anew(here: World) -> str:
    order, website = await parked_at_site(here)
    job = await here.job_of(order)
    await terminated(here, job)
    await decide(here, job, Act.RETRY)
    await decide(here, website, Act.RETRY)
    return await finished(here, job, JobStatus.SUCCEEDED)


async def website_parked_and_retried(here: World) -> str:
    _, website = await parked_at_site(here)
    await decide(here, website, Act.RETRY)
    return await finished(here, website, JobStatus.SUCCEEDED)


async def website_aborted(here: World) -> str:
    _, website = await parked_at_site(here)
    await decide(here, website, Act.ABORT_ITEM)
    return await finished(here, website, JobStatus.FAILED)


async def website_aborted_after_its_run(here: World) -> str:
    _, website = await parked_at_site(here)
    await terminated(here, website)
    await decide(here, website, Act.ABORT_ITEM)
    return await finished(here, website, JobStatus.FAILED)


async def website_deleted(here: World) -> str:
    job = await add(here, JobKind.WEBSITE_DELETE, await a_website(here))
    return await finished(here, job, JobStatus.SUCCEEDED)


async def website_suspended(here: World) -> str:
    job = await add(here, JobKind.WEBSITE_SUSPEND, await a_website(here))
    return await finished(here, job, JobStatus.SUCCEEDED)


async def website_resumed(here: World) -> str:
    website = await a_website(here)
    before = await add(here, JobKind.WEBSITE_SUSPEND, website)
    await finished(here, before, JobStatus.SUCCEEDED)
    job = await add(here, JobKind.WEBSITE_RESUME, website)
    return await finished(here, job, JobStatus.SUCCEEDED)


async def website_backed_up(here: World) -> str:
    return (await a_backup(here))[1]


async def website_restored(here: World) -> str:
    backup, _ = await a_backup(here)
    website = await here.read(Website, backup.website_id)
    job = await add(here, JobKind.WEBSITE_RESTORE, website, backup_id=str(backup.id))
    return await finished(here, job, JobStatus.SUCCEEDED)


async def backup_due(here: World) -> str:
    website = await a_website(here)
    schedule = here.client.get_schedule_handle(schedule_id(website.id))
    await schedule.trigger()
    described = await here.until(
        schedule.describe, lambda one: bool(one.info.recent_actions)
    )
    run = described.info.recent_actions[-1].action.workflow_id  # type: ignore[union-attr]
    await here.client.get_workflow_handle(run).result()
    return run


PATHS: dict[str, Path] = {
    "FulfilOrder.delivered": lambda here: ordered(here, JobKind.FULFIL_ORDER),
    "FulfilOrder.item_aborted": order_with_item_aborted,
    "FulfilOrder.aborted": order_aborted,
    "FulfilOrder.expired": order_expired,
    "FulfilOrder.parked_and_retried": order_parked_and_retried,
    "FulfilOrder.begun_anew": order_begun_anew,
    "ProvisionWebsite.delivered": lambda here: ordered(here, JobKind.WEBSITE_PROVISION),
    "ProvisionWebsite.parked_and_retried": website_parked_and_retried,
    "ProvisionWebsite.aborted": website_aborted,
    "ProvisionWebsite.aborted_after_its_run": website_aborted_after_its_run,
    "DeleteWebsite.done": website_deleted,
    "SuspendWebsite.done": website_suspended,
    "ResumeWebsite.done": website_resumed,
    "EnableBackups.delivered": lambda here: ordered(here, JobKind.BACKUPS_ENABLE),
    "BackupWebsite.done": website_backed_up,
    "RestoreWebsite.done": website_restored,
    "BackupTick.done": backup_due,
}


async def terminated(here: World, job: Job) -> Job:
    """The job when its run was ended in the Temporal UI and somebody noticed."""
    job = await here.read(Job, job.id)
    await here.client.get_workflow_handle(job.workflow_id).terminate("by hand")
    return await noticed(here, job, "run_ended_outside")


async def noticed(here: World, job: Job, reason: str) -> Job:
    """The job when it needs attention for this reason."""
    return await here.until(
        lambda: here.read(Job, job.id),
        lambda one: (one.status, one.reason) == (JobStatus.NEEDS_ATTENTION, reason),
    )


async def a_website(here: World) -> Website:
    """A live website."""
    return await here.website_of(await live(here))


async def a_backup(here: World) -> tuple[Backup, str]:
    """A stored backup of a live website, and the run that made it."""
    job_id = await ask_for_backup(here, await a_website(here))
    job = await here.read(Job, job_id)
    run = await finished(here, job, JobStatus.SUCCEEDED)
    async with here.db.platform() as session:
        backup = (
            await session.exec(select(Backup).where(Backup.job_id == job_id))
        ).one()
    assert backup.status == BackupStatus.STORED
    return backup, run


async def ask_for_backup(here: World, website: Website) -> UUID:
    """The job of one more backup."""
    job_id = uuid4()
    async with here.db.tenant(website.tenant_id) as session:
        await backups.request(session, website, job_id=job_id, requested_by=uuid4())
        await session.commit()
    return job_id


async def add(here: World, kind: JobKind, website: Website, **input: str) -> Job:
    """A job of its own for the website."""
    job = Job(
        tenant_id=website.tenant_id, kind=kind, subject_id=website.id, input=input
    )
    async with here.db.tenant(website.tenant_id) as session:
        session.add(job)
        await session.commit()
    return job


async def steps_of(here: World, job: Job) -> dict[str, tuple[StepStatus, int]]:
    """The job's timeline: what became of each step, and at which try."""
    async with here.db.platform() as session:
        rows = (
            await session.exec(select(JobStep).where(JobStep.job_id == job.id))
        ).all()
    return {row.name: (StepStatus(row.status), row.tries) for row in rows}


async def rows(here: World, table: type[Any], **where: Any) -> list[Any]:
    """All rows of the table with these values."""
    async with here.db.platform() as session:
        return list((await session.exec(select(table).filter_by(**where))).all())
