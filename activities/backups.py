"""Daily backups of a website: the schedule that asks for them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID, uuid5

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.calls import StepCall
from activities.effects import EffectLedger
from activities.errors import GiveUp, ProviderDown
from activities.store import Store, finish
from models.backups import BackupPlan
from models.database import Session
from models.errors import Busy, WrongState
from models.queries import backups, services
from models.states import EffectState, Reason, ServiceStatus
from models.subscriptions import Subscription
from models.websites import Website

PROVIDER = "temporal"

_BUSY_FOR = timedelta(minutes=1)


@dataclass(frozen=True)
class Daily:
    """What a schedule says: this website is due."""

    tenant_id: UUID
    website_id: UUID


@dataclass(frozen=True)
class TickCall:
    """`at`: the time that the schedule meant, however late it is now."""

    tenant_id: UUID
    website_id: UUID
    at: datetime


class Schedules(Protocol):
    """One daily schedule per website."""

    async def put(self, website_id: UUID, tenant_id: UUID) -> str: ...

    async def exists(self, website_id: UUID) -> bool: ...

    async def remove(self, website_id: UUID) -> None: ...


class BackupActivities:
    """`subject_id` of a call is the backup plan, of `stop_backups` the website."""

    def __init__(
        self, store: Store, effects: EffectLedger, schedules: Schedules
    ) -> None:
        self._store, self._effects, self._schedules = store, effects, schedules

    @activity.defn
    async def enable_schedule(self, call: StepCall) -> None:
        """The daily schedule of the plan's website; repeated, it is the same one."""
        async with self._store.step(call) as (session, _):
            website = await _begun(session, call.subject_id)
            await session.commit()
        effect = await self._effects.intend(
            call,
            owner_id=call.subject_id,
            provider=PROVIDER,
            kind="schedule",
            reference=str(call.subject_id),
            facts={"website_id": str(website.id)},
        )
        remote_id = await self._schedules.put(website.id, website.tenant_id)
        await self._effects.present(effect, remote_id=remote_id)

    @activity.defn
    async def disable_schedule(self, call: StepCall) -> None:
        """The undo: no schedule; the plan and its subscription have failed."""
        await self._unschedule(call, call.subject_id)
        async with self._store.step(call) as (session, job):
            await services.fail_subject(session, job)
            await session.commit()

    @activity.defn
    async def confirm_schedule(self, call: StepCall) -> None:
        """Reads the schedule back, and only then calls the plan active."""
        async with self._store.step(call) as (session, _):
            plan = await session.get_one(BackupPlan, call.subject_id)
            await session.commit()
        if plan.website_id is None or not await self._schedules.exists(plan.website_id):
            raise ProviderDown(PROVIDER, "the schedule is not there")
        async with self._store.step(call) as (session, job):
            plan = await session.get_one(BackupPlan, call.subject_id)
            plan.activate()
            await services.activate_subscription(session, plan.subscription_id)
            finish(job)
            await session.commit()

    @activity.defn
    async def stop_backups(self, call: StepCall) -> None:
        """No more backups of this website; its archives stay until they expire."""
        async with self._store.step(call) as (session, _):
            plan = await services.plan_of(session, call.subject_id)
            await session.commit()
        if plan is not None:
            await self._unschedule(call, plan.id)

    @activity.defn
    async def request_backup(self, tick: TickCall) -> None:
        """The job of a due backup. The sweep starts it; a repeat adds none.

        A website that is not active is passed over; a busy one is asked again.
        """
        job_id = uuid5(tick.website_id, f"backup:{tick.at.isoformat()}")
        async with self._store.tenant(tick.tenant_id) as session:
            website = await session.get_one(Website, tick.website_id)
            try:
                await backups.request(
                    session, website, job_id=job_id, requested_by=None
                )
            except WrongState:
                return
            except Busy as busy:
                raise ApplicationError(
                    busy.message,
                    type=busy.code,
                    next_retry_delay=_BUSY_FOR,
                    category=ApplicationErrorCategory.BENIGN,
                ) from None
            await session.commit()

    async def _unschedule(self, call: StepCall, plan_id: UUID) -> None:
        effect = await self._effects.find(
            call, provider=PROVIDER, kind="schedule", reference=str(plan_id)
        )
        if effect is None or effect.state == EffectState.REMOVED:
            return
        website_id = UUID(effect.facts["website_id"])
        await self._schedules.remove(website_id)
        if await self._schedules.exists(website_id):
            raise ProviderDown(PROVIDER, "the schedule is still there")
        await self._effects.removed(effect)


async def _begun(session: Session, plan_id: UUID) -> Website:
    """The active website of the plan; what an undo had failed is under way again."""
    plan = await session.get_one(BackupPlan, plan_id)
    website = await session.get(Website, plan.website_id) if plan.website_id else None
    if website is None or website.status != ServiceStatus.ACTIVE:
        raise GiveUp(
            Reason.INVALID,
            "the website to back up is not active; bring it back, then retry",
        )
    if plan.status == ServiceStatus.FAILED:
        plan.status = ServiceStatus.PENDING
    subscription = await session.get(Subscription, plan.subscription_id)
    if subscription is not None and subscription.status == ServiceStatus.FAILED:
        subscription.status = ServiceStatus.PENDING
    return website
