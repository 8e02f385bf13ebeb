"""What is done to a website that lives, and to what is left of one that never did."""

from typing import Any

import pytest

from activities.calls import StepCall
from activities.effects import EffectLedger
from activities.store import Store
from activities.websites import WebsiteActivities
from models.jobs import Job
from models.states import JobKind, JobStatus, ServiceStatus
from models.subscriptions import Subscription
from models.vault import Vault
from models.websites import Website
from tests.activities.conftest import Bench, OneServer


@pytest.fixture
def do(bench: Bench, vault: Vault) -> WebsiteActivities:
    nobody: Any = None
    ledger = EffectLedger(bench.db, vault)
    return WebsiteActivities(Store(bench.db), ledger, OneServer(bench.panel), nobody)


async def remove(bench: Bench, do: WebsiteActivities, website: Website) -> None:
    """The rows of a removal; nothing of it is anywhere."""
    call = await bench.job(JobKind.WEBSITE_DELETE, website.id)
    await do.begin_removal(call)
    await do.end_removal(call)


async def test_what_is_left_of_a_failed_website_takes_no_subscription_with_it(
    bench: Bench, do: WebsiteActivities
) -> None:
    [bought] = await bench.rows(Subscription, id=bench.website.subscription_id)
    await bench.change(bought, status=ServiceStatus.ACTIVE)
    failed = Website(
        **bench.website.model_dump(exclude={"id", "domain", "status", "live_at"}),
        domain="mistyped.test",
        status=ServiceStatus.FAILED,
    )
    async with bench.db.platform() as session:
        session.add(failed)
        await session.commit()

    await remove(bench, do, failed)
    assert (await bench.fresh(failed)).status == ServiceStatus.TERMINATED
    assert (await bench.fresh(bought)).status == ServiceStatus.ACTIVE

    await remove(bench, do, bench.website)
    assert (await bench.fresh(bought)).status == ServiceStatus.TERMINATED


async def test_a_suspension_that_is_told_its_end_too_late_undoes_no_later_resume(
    bench: Bench, do: WebsiteActivities
) -> None:
    suspending = await bench.job(JobKind.WEBSITE_SUSPEND, exclusive=True)
    await do.suspend_site(suspending)
    resuming = await bench.job(JobKind.WEBSITE_RESUME, exclusive=True)
    await do.resume_site(resuming)

    # Its worker died after the commit and before Temporal heard of it.
    await do.suspend_site(suspending)

    assert await is_served(bench)
    assert await ended(bench, suspending) == JobStatus.SUCCEEDED
    assert (await bench.fresh(bench.website)).status == ServiceStatus.ACTIVE


async def test_a_resume_that_is_told_its_end_too_late_undoes_no_later_suspension(
    bench: Bench, do: WebsiteActivities
) -> None:
    await do.suspend_site(await bench.job(JobKind.WEBSITE_SUSPEND, exclusive=True))
    resuming = await bench.job(JobKind.WEBSITE_RESUME, exclusive=True)
    await do.resume_site(resuming)
    await do.suspend_site(await bench.job(JobKind.WEBSITE_SUSPEND, exclusive=True))

    await do.resume_site(resuming)

    assert not await is_served(bench)
    assert (await bench.fresh(bench.website)).status == ServiceStatus.SUSPENDED


async def is_served(bench: Bench) -> bool:
    """Whether visitors see the content, and no notice."""
    return bench.docroot.resolve().name != "suspended"


async def ended(bench: Bench, call: StepCall) -> JobStatus:
    [job] = await bench.rows(Job, id=call.job_id)
    return JobStatus(job.status)


async def test_a_website_that_is_told_late_that_it_lives_is_not_looked_at_again(
    bench: Bench, do: WebsiteActivities
) -> None:
    provisioning = await bench.job(JobKind.WEBSITE_PROVISION)
    [job] = await bench.rows(Job, id=provisioning.job_id)
    await bench.change(job, status=JobStatus.SUCCEEDED)
    await do.suspend_site(await bench.job(JobKind.WEBSITE_SUSPEND, exclusive=True))

    await do.go_live(provisioning)

    assert (await bench.fresh(bench.website)).status == ServiceStatus.SUSPENDED
