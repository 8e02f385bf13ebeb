"""What is done to a website that lives, and to what is left of one that never did."""

from typing import Any

import pytest

from activities.effects import EffectLedger
from activities.store import Store
from activities.websites import WebsiteActivities
from models.states import JobKind, ServiceStatus
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
