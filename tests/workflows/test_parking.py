"""Steps that wait for a person: each by its name, while the cause lasts."""

import pytest

from models.errors import WrongState
from models.jobs import Decision, Job
from models.states import Act, DecisionStatus, JobStatus, Reason, ServiceStatus
from models.websites import Website
from tests.judge import balanced
from tests.workflows.operator import (
    abort_order,
    alerts,
    mails_about,
    refunds,
    retry,
    skip,
    timeline,
)
from tests.workflows.shop import (
    PRICE,
    buy,
    domains,
    like_golden,
    settled,
    waiting,
)
from tests.world import World

NEW_SITE = "clpctl site:add*"
NEW_ZONE = "POST *"  # for the first record of a domain
NEW_RECORD = "PATCH *"


async def test_of_two_parked_steps_a_decision_moves_the_one_it_names(
    here: World,
) -> None:
    for provider, op in (("hosting", NEW_SITE), ("powerdns", NEW_ZONE)):
        await here.fault(provider, {"kind": "reject", "op": op, "times": 9})
    order = await buy(here)
    job = await both_parked(here, await waiting(here, order))
    assert len(await alerts(here, job)) == 1
    await here.until(lambda: mails_about(here, job), lambda mails: len(mails) == 2)

    await here.fault("hosting")
    await retry(here, job, "create_site")
    await here.until(
        lambda: timeline(here, job),
        lambda steps: steps.get("deploy_starter") == "succeeded",
    )
    still = await here.read(Job, job.id)
    assert (still.status, still.step) == (JobStatus.NEEDS_ATTENTION, "create_record")

    await here.fault("powerdns")
    await retry(here, job, "create_record")
    await like_golden(here, order)
    posted = [one for one in await here.calls("powerdns") if "POST" in one["op"]]
    assert len(posted) == 2, "each step was tried again once, by its own decision"
    assert await alerts(here, job) == []


async def test_a_step_that_cannot_be_skipped_is_not_by_whatever_door(
    here: World,
) -> None:
    await here.fault("hosting", {"kind": "reject", "op": NEW_SITE, "times": 9})
    order = await buy(here)
    job = await waiting(here, order)

    with pytest.raises(WrongState, match="create_site cannot be skipped"):
        await skip(here, job)
    row = Decision(
        tenant_id=job.tenant_id,
        job_id=job.id,
        generation=job.generation,
        act=Act.SKIP,
        step="create_site",
        why="past the services",
        author="somebody with a database",
    )
    async with here.db.platform() as session:
        session.add(row)
        await session.commit()

    told = await here.until(
        lambda: here.read(Decision, row.id),
        lambda one: one.status != DecisionStatus.RECORDED,
    )
    assert told.status == DecisionStatus.REFUSED
    assert "cannot be skipped" in (told.refused or "")
    assert (await here.read(Job, job.id)).status == JobStatus.NEEDS_ATTENTION


async def test_a_cause_that_lasts_parks_again_and_is_told_again(here: World) -> None:
    await here.fault("hosting", {"kind": "reject", "op": NEW_SITE, "times": 2})
    order = await buy(here)
    job = await waiting(here, order)

    await retry(here, job)

    await here.until(lambda: mails_about(here, job), lambda mails: len(mails) == 2)
    await retry(here, await waiting(here, order))
    await like_golden(here, order)


async def test_an_undo_that_fails_is_parked_and_finished_once_it_can_be(
    here: World,
) -> None:
    await here.fault(
        "hosting",
        {"kind": "fail", "op": "clpctl site:delete", "times": 10_000},
    )
    await here.fault("powerdns", {"kind": "reject", "op": NEW_RECORD})
    order = await buy(here)
    job = await waiting(here, order)
    await here.until(
        lambda: timeline(here, job),
        lambda steps: steps.get("deploy_starter") == "succeeded",
    )

    await abort_order(here, job)

    stuck = await here.until(
        lambda: here.read(Job, job.id), lambda one: one.step == "undo:create_site"
    )
    assert (stuck.status, stuck.reason) == (
        JobStatus.NEEDS_ATTENTION,
        Reason.OUT_OF_PATIENCE,
    )
    assert len(await alerts(here, job)) == 1
    assert len(await here.sites()) == 1
    assert await refunds(here, order) == [], "refunded for what still runs"

    await here.fault("hosting")
    await retry(here, stuck)

    ended, _ = await settled(here, order)
    assert ended.status == JobStatus.FAILED
    assert await domains(here) == set()
    assert await refunds(here, order) == [PRICE]
    assert (await here.read(Job, job.id)).status == JobStatus.FAILED
    assert await alerts(here, job) == []
    await balanced(here)


async def test_without_its_starter_page_a_website_is_never_called_active(
    here: World,
) -> None:
    await here.fault("powerdns", {"kind": "reject", "op": NEW_RECORD})
    order = await buy(here)
    job = await waiting(here, order)
    await here.until(
        lambda: timeline(here, job),
        lambda steps: steps.get("deploy_starter") == "succeeded",
    )
    site = await here.website_of(order)
    page = here.providers.hosting.tree.joinpath(
        "home", site.site_user, "htdocs", site.domain, "index.php"
    )
    starter = page.read_bytes()
    page.unlink()

    await retry(here, job)
    job = await here.until(
        lambda: here.read(Job, job.id),
        lambda one: (one.status, one.step) == (JobStatus.NEEDS_ATTENTION, "go_live"),
    )

    assert job.reason == Reason.REJECTED
    assert "without our marker" in (job.message or "")
    assert (await here.read(Website, site.id)).status == ServiceStatus.PROVISIONING
    page.write_bytes(b"<h1>Under construction</h1>")
    await retry(here, job)
    first = job.updated_at
    job = await here.until(
        lambda: here.read(Job, job.id),
        lambda one: one.status == JobStatus.NEEDS_ATTENTION and one.updated_at > first,
    )
    assert (await here.read(Website, site.id)).status == ServiceStatus.PROVISIONING
    page.write_bytes(starter)
    await retry(here, job)
    await like_golden(here, order)


async def both_parked(world: World, job: Job) -> Job:
    """The job when both of its parallel steps wait."""

    def parked(steps: dict[str, str]) -> bool:
        return [steps.get(name) for name in ("create_site", "create_record")] == [
            "parked"
        ] * 2

    await world.until(lambda: timeline(world, job), parked)
    return await world.read(Job, job.id)
