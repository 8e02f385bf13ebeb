"""What is unsure is looked at again, and taken away only while nobody uses it anew."""

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlmodel import select

from models.base import utc_now
from models.database import Database
from models.effects import Effect
from models.jobs import Job
from models.outbox import OutboxMessage
from models.states import EffectState, JobKind, JobStatus
from models.tenants import MIGRAHOSTING
from workers.rechecks import Check, Rechecks


class Provider:
    """Has everything; `meanwhile` a look is under way, the job takes it up again."""

    def __init__(self, db: Database, *, meanwhile: bool) -> None:
        self._db, self._meanwhile = db, meanwhile
        self.removed: list[str] = []

    async def exists(self, effect: Effect) -> bool:
        if self._meanwhile:
            async with self._db.platform() as session:
                row = await session.get_one(Effect, effect.id)
                row.state = EffectState.PRESENT
                row.check_at = None
                await session.commit()
        return True

    async def remove(self, effect: Effect) -> None:
        self.removed.append(effect.reference)


async def due(db: Database) -> Effect:
    """Of a job that has failed: it is to be looked at now."""
    job = Job(
        tenant_id=MIGRAHOSTING,
        kind=JobKind.WEBSITE_PROVISION,
        subject_id=uuid4(),
        status=JobStatus.FAILED,
    )
    effect = Effect(
        tenant_id=MIGRAHOSTING,
        job_id=job.id,
        owner_id=job.subject_id,
        provider="any",
        kind="site",
        reference="mp1",
        state=EffectState.REMOVED,
        check_at=utc_now() - timedelta(seconds=1),
    )
    async with db.platform() as session:
        session.add(job)
        await session.flush()
        session.add(effect)
        await session.commit()
    return effect


@pytest.mark.parametrize("meanwhile", [False, True])
async def test_what_was_taken_up_again_during_the_look_stays(
    db: Database, meanwhile: bool
) -> None:
    effect = await due(db)
    there = Provider(db, meanwhile=meanwhile)
    checks = {("any", "site"): Check(there.exists, there.remove)}

    await Rechecks(db, checks).round()

    assert there.removed == ([] if meanwhile else ["mp1"])
    async with db.platform() as session:
        row = await session.get_one(Effect, effect.id)
    assert row.state == (EffectState.PRESENT if meanwhile else EffectState.REMOVED)


async def test_what_one_worker_has_just_removed_another_does_not_settle_untold(
    db: Database,
) -> None:
    await due(db)

    async def is_gone(_: Effect) -> bool:
        return False

    async def remove(effect: Effect) -> None:
        second = Check(is_gone, there.remove)
        await Rechecks(db, {("any", "site"): second}).round()
        await there.remove(effect)

    there = Provider(db, meanwhile=False)
    await Rechecks(db, {("any", "site"): Check(there.exists, remove)}).round()

    async with db.platform() as session:
        [told] = (await session.exec(select(OutboxMessage))).all()
    assert (told.template, there.removed) == ("effect.orphan", ["mp1"])
