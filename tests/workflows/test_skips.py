"""A step is left out: the story goes on to its end, and nothing says what is not so."""

from uuid import uuid4

import pytest

from activities.calls import JobRef, Resuming
from activities.jobs import JobActivities
from api.services import cloudpods as pod_service
from api.services import websites
from api.services.decisions import issue_code
from models.alerts import Alert
from models.audit import AuditEvent
from models.cloudpods import CloudPod, CloudPodSave
from models.effects import Effect
from models.jobs import Decision, JobStep
from models.queries import jobs
from models.queries.skips import LEFT_BEHIND
from models.states import (
    Act,
    AlertStatus,
    BackupStatus,
    EffectState,
    JobKind,
    JobStatus,
    ServiceStatus,
    StepStatus,
)
from models.websites import Website
from tests.workflows.operator import OPERATOR, timeline
from tests.workflows.paths import rows
from tests.workflows.pods import a_pod, guests, records
from tests.workflows.shop import buy, like_golden
from tests.workflows.test_inbox_faults import get, operator
from tests.workflows.test_signals import run_of
from tests.world import World
from workflows.registry import WORKFLOWS

GONE = {"kind": "reject", "op": "PATCH *", "times": 10_000}
NO_DELETE = {"kind": "reject", "op": "clpctl site:delete", "times": 10_000}


async def test_a_removal_goes_on_without_a_server_and_a_name_that_are_gone_by_api(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = here.client.service_client.config.target_host
    monkeypatch.setenv("TEMPORAL_ADDRESS", address)
    order = await buy(here)
    await like_golden(here, order)
    site = await here.website_of(order)
    await here.fault("powerdns", GONE)
    await here.fault("hosting", NO_DELETE)
    async with here.db.platform() as session:
        _, job = await websites.ask(
            session, here.client, OPERATOR, site.id, JobKind.WEBSITE_DELETE
        )
    await here.until(
        lambda: timeline(here, job),
        lambda told: told.get("delete_record") == told.get("delete_site") == "parked",
    )

    async with operator(here) as api:
        detail = await get(api, f"/api/operator/inbox/{job.id}")
        (told,) = [one for one in detail["acts"] if one["act"] == "skip"]
        assert told["allowed"], told
        words = " ".join(told["would"])
        assert "Only right if" in words
        assert "Left for you to take away by hand: the " in words
        for step in ("delete_record", "delete_site"):
            answer = await api.post(
                f"/api/jobs/{job.id}/skip",
                json={"step": step, "reason": "the data centre burnt down"},
            )
            assert answer.status_code == 200, answer.text
        ended = await here.ended(job)
        detail = await get(api, f"/api/operator/inbox/{job.id}")

    assert ended.status == JobStatus.SUCCEEDED
    assert (await here.read(Website, site.id)).status == ServiceStatus.TERMINATED
    left_out = {
        one["name"]: one for one in detail["steps"] if one["status"] == "skipped"
    }
    assert left_out.keys() == {"delete_record", "delete_site"}
    for one in left_out.values():
        assert "the data centre burnt down" in one["message"]
    assert [one["act"] for one in detail["decisions"]] == ["skip", "skip"]
    audited = await rows(here, AuditEvent, entity_id=str(job.id))
    assert [one.action for one in audited] == ["decision.skip"] * 2
    effects = await rows(here, Effect, owner_id=site.id)
    assert {one.kind: one.state for one in effects} == {
        "site": EffectState.PRESENT,
        "record": EffectState.PRESENT,
    }, "both are there"
    assert {one.facts["left"]["step"] for one in effects} == left_out.keys()
    alerts = await rows(here, Alert, cause=LEFT_BEHIND)
    assert {one.subject_id for one in alerts} == {one.id for one in effects}
    assert {one.status for one in alerts} == {AlertStatus.OPEN}
    assert any(site.domain in one.message for one in alerts)
    await here.reconciler.reconcile(ended)
    kept = await timeline(here, job)
    assert {name for name, one in kept.items() if one == "skipped"} == left_out.keys()


async def test_a_cloudpod_is_removed_without_its_last_backup_by_a_signal_with_a_code(
    pods: World,
) -> None:
    pod = await a_pod(pods)
    await pods.fault(
        "proxmox", {"kind": "reject", "op": "POST *vzdump*", "times": 10_000}
    )
    async with pods.db.platform() as session:
        _, job = await pod_service.delete(session, pods.client, OPERATOR, pod.id)
    parked = await pods.parked(job)
    assert parked.step == "back_up_guest", parked
    async with pods.db.tenant(job.tenant_id) as session:
        code = (await issue_code(session, OPERATOR, job.id, Act.SKIP)).code

    await run_of(pods, parked).signal("decide", {"act": "skip", "code": code})

    ended = await pods.ended(job)
    assert ended.status == JobStatus.SUCCEEDED
    assert (await pods.read(CloudPod, pod.id)).status == ServiceStatus.TERMINATED
    assert (await timeline(pods, job))["back_up_guest"] == "skipped"
    (decision,) = await rows(pods, Decision, job_id=job.id)
    assert (decision.act, decision.author) == (Act.SKIP, OPERATOR.author)
    assert (decision.via, decision.verified) == ("signal", True)
    (save,) = await rows(pods, CloudPodSave, job_id=job.id)
    assert save.status == BackupStatus.FAILED, "no backup is promised that is not there"
    assert await guests(pods) == {}
    assert await records(pods) == set()


@pytest.mark.parametrize("lost", ["every line", "the last line"])
async def test_the_line_of_a_skipped_step_outlives_a_late_one_of_its_failure(
    here: World, lost: str
) -> None:
    await here.fault(
        "hosting", {"kind": "reject", "op": "clpctl site:add*", "times": 1}
    )
    order = await buy(here)
    job = await here.parked((await here.jobs(order))[JobKind.WEBSITE_PROVISION])
    async with here.db.platform() as session:
        for line in await jobs.steps(session, job.id):
            if lost == "every line":
                await session.delete(line)
            else:
                line.status, line.phase = StepStatus.RUNNING, 0
        await session.commit()
    ref = JobRef(job.id, job.tenant_id, job.subject_id, JobKind.WEBSITE_PROVISION)
    skipping = Resuming(ref, "create_site", Act.SKIP, ("other",), decision_id=uuid4())

    for _ in range(2):
        await JobActivities(here.db).record_resumed(skipping)
    await here.reconciler.reconcile(job)

    (line,) = [
        one
        for one in await rows(here, JobStep, job_id=job.id)
        if one.name == "create_site"
    ]
    assert line.status == StepStatus.SKIPPED


def test_each_step_that_can_be_left_out_is_known() -> None:
    """What a customer has paid for is none of them."""
    found = {
        (story.__name__, step.id)
        for story in WORKFLOWS
        for step in (*getattr(story, "STEPS", ()), *getattr(story, "WAY_BACK", ()))
        if step.skippable
    }
    assert found == {
        ("FulfilOrder", "refund_undone"),
        ("FulfilOrder", "refund_order"),
        ("DeleteWebsite", "delete_record"),
        ("DeleteWebsite", "delete_site"),
        ("DeleteCloudPod", "back_up_guest"),
        ("DeleteCloudPod", "hold_removal"),
        ("DeleteCloudPod", "delete_pod_names"),
    }
