"""Creates that land late: whatever arrives after its undo is found and removed."""

from datetime import timedelta

from sqlmodel import select

from models.base import utc_now
from models.effects import Effect
from models.jobs import Job, JobStep
from models.states import (
    DecisionStatus,
    EffectState,
    JobStatus,
    ServiceStatus,
    StepStatus,
)
from models.websites import Website
from tests.judge import balanced
from tests.workflows.operator import abort_order, decision, mails_with, refunds
from tests.workflows.shop import (
    PRICE,
    buy,
    domains,
    line_of,
    make_site,
    settled,
    waiting,
)
from tests.world import World

NEW_SITE = "clpctl site:add*"


async def test_an_abort_waits_for_a_siblings_create_that_is_on_its_way(
    here: World,
) -> None:
    await here.fault("hosting", {"kind": "hold", "op": NEW_SITE})
    await here.fault("powerdns", {"kind": "reject", "op": "PATCH *"})
    order = await buy(here)
    job = await waiting(here, order)
    await here.until(lambda: creates(here), lambda begun: begun == 1)

    abort = await abort_order(here, job)
    await here.until(
        lambda: decision(here, abort.id),
        lambda one: one.status == DecisionStatus.DELIVERED,
    )
    assert await here.sites() == set(), "the create was to be on its way still"
    await here.fault("hosting")

    ended, _ = await settled(here, order)
    assert ended.status == JobStatus.FAILED
    made = await here.effects("hosting")
    assert [effect for effect, _ in made][:1] == ["site.created"]
    assert await domains(here) == set()
    assert await refunds(here, order) == [PRICE]
    await balanced(here)


async def test_a_create_whose_answer_never_came_is_undone_all_the_same(
    here: World,
) -> None:
    await here.fault(
        "hosting",
        {"kind": "execute_then_timeout", "op": NEW_SITE, "seconds": 1.5},
    )
    order = await buy(here)
    job = await line_of(here, order)
    await here.until(here.sites, lambda sites: len(sites) == 1)

    await abort_order(here, job)

    await settled(here, order)
    assert await domains(here) == set()
    effect = await effect_of(here, await here.website_of(order))
    assert effect.state == EffectState.REMOVED


async def test_what_lands_after_its_undo_is_found_and_removed(here: World) -> None:
    await here.fault("powerdns", {"kind": "reject", "op": "PATCH *"})
    order = await buy(here)
    job = await waiting(here, order)
    await abort_order(here, job)
    await settled(here, order)
    site = await here.website_of(order)
    assert site.status == ServiceStatus.FAILED

    await make_site(
        here, site.domain, site.site_user
    )  # the create that was thought lost
    assert await here.sites() == {site.domain}
    await check_now(here, await effect_of(here, site))

    await here.until(here.sites, lambda left: left == set())
    await here.until(
        lambda: mails_with(here, str(site.id)), lambda mails: len(mails) == 1
    )


async def test_a_create_that_ends_after_its_undo_is_found_and_removed(
    here: World,
) -> None:
    await here.fault("hosting", {"kind": "hold", "op": NEW_SITE})
    order = await buy(here)
    job = await line_of(here, order)
    site = await here.until(
        lambda: here.website_of(order), lambda site: site.server_id is not None
    )
    await here.until(lambda: creates(here), lambda begun: begun == 1)
    await here.client.get_workflow_handle(job.workflow_id).terminate("by hand")
    await here.parked(job)

    await abort_order(here, await here.job_of(order))
    await settled(here, order)
    assert await here.sites() == set(), "the create was to be on its way still"
    await here.fault("hosting")
    await here.until(here.sites, lambda sites: sites == {site.domain})
    await here.until(
        lambda: line_of_create(here, job), lambda line: line == StepStatus.SUCCEEDED
    )

    await check_now(here, await effect_of(here, site))
    await here.until(here.sites, lambda left: left == set())


async def test_a_provider_that_is_down_delays_no_other_look(here: World) -> None:
    await here.fault("powerdns", {"kind": "reject", "op": "PATCH *", "times": 2})
    sites = []
    for order in (await buy(here), await buy(here)):
        await abort_order(here, await waiting(here, order))
        await settled(here, order)
        sites.append(await here.website_of(order))
    first, second = sites
    await here.fault("powerdns", {"kind": "fail", "op": "GET *", "times": 10_000})
    await make_site(here, second.domain, second.site_user)

    await check_now(
        here,
        await effect_of(here, first, kind="record"),
        await effect_of(here, second),
    )

    await here.until(here.sites, lambda left: left == set())
    # It is to be asked again.
    await here.until(
        lambda: effect_of(here, first, kind="record"),
        lambda one: one.check_at is not None and one.check_at > utc_now(),
    )


async def creates(world: World) -> int:
    """How often the hosting server was asked for a site."""
    return sum("site:add" in str(call["op"]) for call in await world.calls("hosting"))


async def check_now(world: World, *effects: Effect) -> None:
    """The looks that are due in a minute, in this order."""
    for number, effect in enumerate(effects):
        async with world.db.platform() as session:
            row = await session.get_one(Effect, effect.id)
            assert row.check_at is not None
            row.check_at = utc_now() - timedelta(seconds=len(effects) - number)
            await session.commit()
    await world.wired.rechecks.round()


async def line_of_create(world: World, job: Job) -> StepStatus:
    """How the timeline tells of the step that makes the site."""
    async with world.db.platform() as session:
        query = select(JobStep.status).where(
            JobStep.job_id == job.id, JobStep.name == "create_site"
        )
        return StepStatus((await session.exec(query)).one())


async def effect_of(world: World, site: Website, *, kind: str = "site") -> Effect:
    """The row in our ledger of what was made for the website."""
    async with world.db.platform() as session:
        return (
            await session.exec(
                select(Effect).where(Effect.owner_id == site.id, Effect.kind == kind)
            )
        ).one()
