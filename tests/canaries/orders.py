"""Orders, and providers that say too much."""

import base64
import json
from functools import partial
from typing import Any
from uuid import UUID

from sqlmodel import select

from activities.effects import EffectLedger
from models.alerts import Alert
from models.backups import Backup
from models.effects import Effect
from models.jobs import Job
from models.states import JobKind, JobStatus
from tests.api import shop
from tests.canaries.scene import Scene
from tests.dev.program import PATIENT
from tests.workflows.pods import MINI, PRICES
from tests.workflows.shop import PRICE
from tests.world import World

BUYER = "ada@example.com"
SPENT = "decision code, used"


async def orders_are_fulfilled(scene: Scene, boss: dict[str, str]) -> None:
    """One at once; one after providers have said too much, and a person decided."""
    here = scene.here
    first = await here.ended(await root_of(scene, await bought(scene)), within=PATIENT)
    assert first.status == JobStatus.SUCCEEDED, first.message
    await a_backup(scene, boss)
    await a_cloudpod(scene, boss)
    await what_we_made(scene)
    said = providers_tell(scene)
    for provider, scripts in said.items():
        await here.fault(provider, *scripts)
    job = await waiting(scene, await bought(scene))
    for provider in said:
        read = partial(fired, here, provider)
        await here.until(read, lambda count: count > 0, within=PATIENT)
        await here.fault(provider)
    # Its site and its record were refused; what a code is for must not change any more.
    await here.until(partial(alerted, here, job), lambda count: count == 2)
    await decided_by_code(scene, boss, await here.read(Job, job.id))


async def decided_by_code(scene: Scene, boss: dict[str, str], job: Job) -> None:
    """In the Temporal UI; another code is never used."""
    planted, here, codes = scene.planted, scene.here, f"/api/jobs/{job.id}/codes"
    given = []
    for _ in range(2):
        body = {"act": "retry", "step": job.step}
        answer = await scene.shown.post(codes, json=body, headers=boss)
        assert answer.status_code == 201, answer.text
        given.append(answer.json()["code"])
    planted.keep("decision code, unused", given[0])
    run = here.client.get_workflow_handle(job.workflow_id)
    sent = {"act": "retry", "step": job.step, "code": planted.keep(SPENT, given[1])}
    await run.signal("decide", sent)
    await here.until(
        partial(here.read, Job, job.id),
        lambda one: (one.status, one.step) != (job.status, job.step),
        within=PATIENT,
    )


async def a_cloudpod(scene: Scene, boss: dict[str, str]) -> None:
    """Built with the cluster's token; its screen is opened with a ticket."""
    paid = await scene.here.pay(PRICES[MINI], email=BUYER)
    code, type_ = MINI
    order = await ordered(
        scene,
        stripeCustomerId=paid["customer"]["id"],
        items=[{"code": code, "type": type_}],
    )
    built = await scene.here.ended(await root_of(scene, order), within=PATIENT)
    assert built.status == JobStatus.SUCCEEDED, built.message
    pods = (await scene.api.get("/api/cloudpods", headers=boss)).json()["items"]
    opened = await scene.shown.post(
        f"/api/cloudpods/{pods[0]['id']}/console", headers=boss
    )
    assert opened.is_success, opened.text
    scene.planted.keep("console ticket", opened.json()["ticket"])


async def a_backup(scene: Scene, boss: dict[str, str]) -> None:
    """Of the website, with an archive key of its own."""
    found = await scene.api.get("/api/websites", headers=boss)
    website = found.json()["items"][0]["id"]
    begun = await scene.api.post(
        f"/api/websites/{website}/backups", headers=boss, json={}
    )
    assert begun.status_code == 202, begun.text
    job = await scene.here.read(Job, UUID(begun.json()["jobId"]))
    await scene.here.ended(job, within=PATIENT)


async def what_we_made(scene: Scene) -> None:
    """Passwords and keys that mPanel draws itself."""
    vault, db = scene.here.settings.vault, scene.here.db
    async with db.platform() as session:
        made = list(await session.exec(select(Effect).where(Effect.kind == "site")))
        archives = list(await session.exec(select(Backup)))
    for each in made:
        secret = EffectLedger(db, vault).secret(each).decode()
        scene.planted.keep(f"password of site {each.reference}", secret)
    for archive in archives:
        seal = vault.derived(vault.newest, f"backup:{archive.id}")
        scene.planted.keep(f"seal of {archive.id}", base64.b64encode(seal).decode())
    assert made
    assert archives


async def alerted(here: World, job: Job) -> int:
    """How often operators were told that it waits."""
    async with here.db.platform() as session:
        found = await session.exec(select(Alert.count).where(Alert.job_id == job.id))
        return sum(found.all())


async def fired(here: World, provider: str) -> int:
    scripts = await here.control(provider, "GET", "faults")
    return sum(one["fired"] for one in scripts)


def providers_tell(scene: Scene) -> dict[str, list[dict[str, Any]]]:
    """Errors that repeat what they were sent, as some providers' do."""
    planted, keys = scene.planted, scene.here.providers.keys
    telling = (
        f"usage: --siteUserPassword={planted.new('password in a command line')}"
        f" Authorization: Bearer {planted.new('bearer in an error')}"
        f" https://admin:{planted.new('password in an address')}@panel.example.com/"
        f" key {keys.powerdns} and {keys.mail}"
        f" {keys.stripe} {keys.proxmox}"
    )
    return {
        "hosting": [
            {
                "kind": "reject",
                "op": "clpctl site:add*",
                "message": telling,
                "times": 50,
            }
        ],
        "powerdns": [
            {
                "kind": "reject",
                "op": "PATCH *",
                "times": 50,
                "status": 422,
                "message": f"{'x' * 150} {keys.powerdns}",
            }
        ],
        "mail": [{"kind": "fail", "times": 2, "message": f"bad {keys.mail}"}],
        "stripe": [{"kind": "fail", "message": f"bad {keys.stripe}"}],
    }


async def bought(scene: Scene) -> UUID:
    paid = await scene.here.pay(PRICE, email=BUYER)
    return await ordered(scene, stripeCustomerId=paid["customer"]["id"])


async def ordered(scene: Scene, **changes: Any) -> UUID:
    raw = json.dumps(shop.order(customerEmail=BUYER, **changes)).encode()
    answer = await scene.ordered(raw)
    assert answer.status_code == 202, answer.text
    scene.orders.append(UUID(answer.json()["orderId"]))
    return scene.orders[-1]


async def _jobs(scene: Scene, order: UUID) -> list[Job]:
    async with scene.here.db.platform() as session:
        found = await session.exec(select(Job).where(Job.order_id == order))
        return list(found)


async def root_of(scene: Scene, order: UUID) -> Job:
    return next(
        one for one in await _jobs(scene, order) if one.kind == JobKind.FULFIL_ORDER
    )


async def waiting(scene: Scene, order: UUID) -> Job:
    jobs = await scene.here.until(
        lambda: _jobs(scene, order),
        lambda jobs: any(one.status == JobStatus.NEEDS_ATTENTION for one in jobs),
        within=PATIENT,
    )
    return next(one for one in jobs if one.status == JobStatus.NEEDS_ATTENTION)
