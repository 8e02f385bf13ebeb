"""What an operator can see and do in the Temporal UI, and by `temporal` itself."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

from google.protobuf.json_format import MessageToDict
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import WorkflowHandle

from api.services.decisions import issue_code
from models.audit import AuditEvent
from models.base import utc_now
from models.jobs import Decision, DecisionCode, Job, code_hash
from models.states import Act, JobKind, JobStatus
from tests.judge import balanced, golden
from tests.workflows.operator import OPERATOR
from tests.workflows.paths import REFUSED, finished, parked_at_site, rows
from tests.world import World
from workers.dev.temporal import program

WAITING = "JobStatus = 'needs_attention' AND ExecutionStatus = 'Running'"

# As the README tells it to operators.
OF_ONE_CAUSE = "JobStatus='needs_attention' and JobReason='provider_rejected'"


async def test_a_bare_retry_goes_on_and_is_kept_as_unverified(here: World) -> None:
    order, website = await parked_at_site(here)

    await run_of(here, website).signal("retry")

    await finished(here, await here.job_of(order), JobStatus.SUCCEEDED)
    [decision] = await rows(here, Decision, job_id=website.id)
    assert (decision.act, decision.via, decision.verified) == ("retry", "signal", False)
    assert (decision.author, decision.author_id) == ("unverified", None)
    [event] = await rows(here, AuditEvent, entity_id=str(website.id))
    assert (event.action, event.actor_kind) == ("decision.retry", "signal")
    assert (event.actor, event.details["verified"]) == ("unverified", False)
    await golden(here, orders=1)


async def test_a_one_time_code_aborts_in_the_name_of_its_user(here: World) -> None:
    order, website = await parked_at_site(here)
    code = await issued(here, website, Act.ABORT_ITEM)

    await run_of(here, website).signal("decide", {"act": "abort_item", "code": code})

    await finished(here, website, JobStatus.FAILED)
    await finished(here, await here.job_of(order), JobStatus.SUCCEEDED)
    [decision] = await rows(here, Decision, job_id=website.id)
    assert (decision.author, decision.author_id) == (OPERATOR.author, OPERATOR.id)
    assert decision.verified
    [burnt] = await rows(here, DecisionCode, job_id=website.id)
    assert burnt.used_at is not None
    told = await rows(here, AuditEvent, entity_id=str(website.id))
    assert {one.action for one in told} == {
        "decision.code_issued",
        "decision.abort_item",
    }
    assert {(one.actor, one.actor_id) for one in told} == {
        (OPERATOR.author, OPERATOR.id)
    }
    await balanced(here)


async def test_without_a_code_that_holds_nothing_is_decided(here: World) -> None:
    await here.fault("hosting", REFUSED)
    _, website = await parked_at_site(here)
    await here.fault("hosting", REFUSED)
    run = run_of(here, website)
    stale = await issued(here, website, Act.ABORT_ITEM)
    await says(here, website, "another story")
    used = await issued(here, website, Act.RETRY)
    await run.signal("decide", {"act": "retry", "code": used})
    await parked_again(here, website, times=2)
    # From here on it stands as it did when `used` was issued.
    await says(here, website, "another story")
    expired = await issued(here, website, Act.ABORT_ITEM)
    async with here.db.platform() as session:
        [row] = await rows(here, DecisionCode, code_hash=code_hash(expired))
        again = await session.get_one(DecisionCode, row.id)
        again.expires_at = utc_now() - timedelta(seconds=1)
        await session.commit()
    of_another_act = await issued(here, website, Act.RETRY)
    of_another_step = await issued(here, website, Act.RETRY, step="go_live")
    good = await issued(here, website, Act.ABORT_ITEM)

    for request in (
        {"act": "abort_item"},
        {"act": "abort_item", "code": "guessed"},
        {"act": "abort_item", "code": expired},
        {"act": "abort_item", "code": of_another_act},
        {"act": "abort_item", "code": stale},
        {"act": "retry", "code": used},
        {"act": "retry", "code": of_another_step, "step": "create_site"},
        {"act": "dance", "code": good},
        ["not", "a", "request"],
    ):
        await run.signal("decide", request)
    await run.signal("decide", {"act": "abort_item", "code": good})

    # Signals are taken in their order: the last was the first that counted.
    await finished(here, website, JobStatus.FAILED)
    decided = await rows(here, Decision, job_id=website.id)
    assert sorted(one.act for one in decided) == [Act.ABORT_ITEM, Act.RETRY]
    assert all(one.verified for one in decided)
    codes = await rows(here, DecisionCode, job_id=website.id)
    burnt = {one.code_hash for one in codes if one.used_at is not None}
    assert burnt == {code_hash(used), code_hash(good)}
    told = await rows(here, AuditEvent, action="decision.refused")
    assert {(one.entity_id, one.actor) for one in told} == {
        (str(website.id), "unverified")
    }
    reasons = Counter(one.reason for one in told)
    assert reasons == {"it needs a code": 1, "the code does not fit": 6}


async def test_one_command_releases_all_that_wait(here: World) -> None:
    these = OF_ONE_CAUSE + begun_from_now()
    parked = [await parked_at_site(here, number=number) for number in range(3)]
    await here.until(lambda: found(here, these), lambda runs: len(runs) == 3)

    await temporal(
        here, "workflow", "signal", "--query", these, "--name", "retry", "--yes"
    )

    for order, website in parked:
        await finished(here, await here.job_of(order), JobStatus.SUCCEEDED)
        [decision] = await rows(here, Decision, job_id=website.id)
        assert (decision.act, decision.verified) == ("retry", False)
    await golden(here, orders=3)


async def test_a_parked_run_explains_itself_in_the_temporal_ui(here: World) -> None:
    waiting = WAITING + begun_from_now()
    order, website = await parked_at_site(here)
    root = await here.job_of(order)
    await here.until(lambda: found(here, waiting), lambda runs: len(runs) == 1)

    [run_id] = await found(here, waiting + " AND JobReason = 'provider_rejected'")

    assert run_id == f"website_provision:{website.id}"
    described = await run_of(here, website).describe()
    short = str(order.id)[:8]
    assert await described.static_summary() == f"wp_growth for order {short}"
    told = {
        pair.key.name: pair.value
        for pair in described.typed_search_attributes.search_attributes
    }
    assert told["JobKind"] == JobKind.WEBSITE_PROVISION
    assert told["JobStep"] == "create_site"
    assert told["TenantId"] == str(website.tenant_id)
    assert told["SubjectId"] == str(website.subject_id)
    details = (await metadata(run_of(here, website)))["currentDetails"]
    assert "`place_website` done" in details
    assert "**Waits for a person.**" in details
    assert f"`mpanel inbox show {website.id}`" in details
    refused = "(provider_rejected): `hosting: site:add: no such PHP version`"
    assert f"`create_site` **needs attention** {refused}" in details
    summaries = await summaries_of(run_of(here, website))
    assert summaries["create_site"] == '"Create the site on the hosting server"'
    parent = await run_of(here, root).describe()
    assert await parent.static_summary() == f"fulfil_order {short}"
    offered = (await metadata(run_of(here, website)))["definition"]
    assert {one["name"] for one in offered["signalDefinitions"]} == {"retry", "decide"}


def begun_from_now() -> str:
    """What earlier tests have left waiting is not asked for."""
    return f" AND StartTime > '{utc_now().isoformat()}'"


def run_of(here: World, job: Job) -> WorkflowHandle[Any, Any]:
    return here.client.get_workflow_handle(job.workflow_id)


async def issued(here: World, job: Job, act: Act, step: str | None = None) -> str:
    """A code, as the API gives it to an operator."""
    async with here.db.tenant(job.tenant_id) as session:
        return (await issue_code(session, OPERATOR, job.id, act, step)).code


async def says(here: World, job: Job, message: str) -> None:
    """The job's story is another by now."""
    async with here.db.platform() as session:
        (await session.get_one(Job, job.id)).message = message
        await session.commit()


async def parked_again(here: World, job: Job, *, times: int) -> None:
    """Returns when the job's step has been parked so often."""

    async def rounds() -> int:
        history = await run_of(here, job).fetch_history()
        return sum(
            "create_site" in one.activity_task_scheduled_event_attributes.activity_id
            for one in history.events
        )

    await here.until(rounds, lambda found: found == times)
    await here.parked(job)


async def found(here: World, query: str) -> list[str]:
    """The ids of the runs that the list in the Temporal UI shows."""
    return [run.id async for run in here.client.list_workflows(query)]


async def metadata(run: WorkflowHandle[Any, Any]) -> dict[str, Any]:
    """What the UI asks of a run, to show it."""
    answer = await run.query(
        "__temporal_workflow_metadata", result_type=WorkflowMetadata
    )
    return MessageToDict(answer)


async def summaries_of(run: WorkflowHandle[Any, Any]) -> dict[str, str]:
    """{activity id: what the UI writes beside it}"""
    history = await run.fetch_history()
    return {
        event.activity_task_scheduled_event_attributes.activity_id: (
            event.user_metadata.summary.data.decode()
        )
        for event in history.events
        if event.HasField("activity_task_scheduled_event_attributes")
    }


async def temporal(here: World, *words: str) -> None:
    """Runs Temporal's own command line."""
    address = here.client.service_client.config.target_host
    process = await asyncio.create_subprocess_exec(
        program(),
        *words,
        "--address",
        address,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
