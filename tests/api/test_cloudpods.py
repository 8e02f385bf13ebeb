"""What people ask of CloudPods over HTTP."""

import asyncio
from uuid import UUID, uuid4

import httpx
import pytest
from sqlmodel import select

from models.customers import Customer
from models.database import Database
from models.jobs import Decision, Job
from models.products import Product
from models.states import JobKind, JobStatus, ServiceStatus
from models.subscriptions import Subscription
from models.users import Role
from tests.api import rows
from tests.api.audited import told
from tests.api.conftest import LogIn

A_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43 + " ada"
Bought = tuple[Customer, Product, Subscription]


@pytest.fixture
async def bought(db: Database) -> Bought:
    """A customer with a paid CloudPod that nobody has built yet."""
    buyer, plan = rows.customer(), rows.cloudpod_product()
    owned = rows.subscription(buyer, plan)
    await rows.add(db, buyer, plan, owned)
    return buyer, plan, owned


def wish(bought: Bought, **changed: str) -> dict[str, str]:
    buyer, plan, owned = bought
    return {
        "customerId": str(buyer.id),
        "subscriptionId": str(owned.id),
        "productId": str(plan.id),
        "name": "Customer-Site-1",
        "template": plan.sku,
        **changed,
    }


async def test_a_cloudpod_is_drawn_from_its_product(
    log_in: LogIn, bought: Bought
) -> None:
    admin = await log_in(Role.ADMIN)

    made = await admin.post("/api/cloudpods", json=wish(bought))

    assert made.status_code == 201, made.text
    pod_id = made.json()["cloudPod"]["id"]
    assert made.json()["job"]["type"] == "cloudpod_provision"
    pod = (await admin.get(f"/api/cloudpods/{pod_id}")).json()
    assert (pod["cpu"], pod["memoryMb"], pod["diskGb"]) == (2, 2048, 40)
    assert pod["hostname"] == (
        f"customer-site-1-{pod_id.replace('-', '')[:6]}.sites.migrahosting.test"
    )
    assert (pod["status"], pod["seen"], pod["ipv4"]) == ("pending", "absent", "")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "no spaces"),
        ("name", "-x"),
        ("name", "x" * 41),
        ("template", "CPOD-OTHER"),
        ("productId", "00000000-0000-4000-8000-00000000dead"),
        ("sshKeys[1]", "ssh-ed25519 AAAA"),
    ],
)
async def test_a_wrong_wish_names_its_field_and_stores_nothing(
    log_in: LogIn, bought: Bought, field: str, value: str
) -> None:
    admin = await log_in(Role.ADMIN)

    keyed = field.startswith("sshKeys")
    wrong = {"sshKeys": [A_KEY, value]} if keyed else {field: value}
    refused = await admin.post("/api/cloudpods", json={**wish(bought), **wrong})

    assert refused.status_code == 422, refused.text
    assert refused.json()["error"]["details"]["field"] == field
    assert (await admin.get("/api/cloudpods")).json() == {"items": [], "total": 0}


async def test_the_keys_that_open_it_are_set_and_the_audit_log_tells_of_it(
    db: Database, log_in: LogIn, bought: Bought
) -> None:
    _, plan, owned = bought
    pod = rows.cloudpod(owned, plan)
    gone = rows.cloudpod(owned, plan, ServiceStatus.TERMINATED)
    await rows.add(db, pod, gone)
    operator = await log_in(Role.OPERATOR)

    async def put(pod_id: UUID, *keys: str) -> httpx.Response:
        path = f"/api/cloudpods/{pod_id}/ssh-keys"
        return await operator.put(path, json={"sshKeys": keys})

    changed = (await put(pod.id, A_KEY, A_KEY)).json()

    assert (changed["sshKeys"], changed["access"]) == ([A_KEY], "ssh")
    [event] = await told(db, "cloudpod.keys_set")
    assert (event.entity_id, event.details) == (str(pod.id), {"keys": [A_KEY]})
    refused = await put(pod.id, "no key")
    assert refused.status_code == 422
    assert refused.json()["error"]["details"]["field"] == "sshKeys[0]"
    assert (await put(gone.id, A_KEY)).status_code == 409
    assert (await put(pod.id)).json()["access"] == "console"


async def test_a_subscription_has_one_cloudpod(log_in: LogIn, bought: Bought) -> None:
    admin = await log_in(Role.ADMIN)
    first = await admin.post("/api/cloudpods", json=wish(bought))

    second = await admin.post("/api/cloudpods", json=wish(bought))

    assert second.status_code == 409
    details = second.json()["error"]["details"]
    assert details["cloudpodId"] == first.json()["cloudPod"]["id"]


async def test_one_job_at_a_time(log_in: LogIn, bought: Bought, db: Database) -> None:
    _, plan, owned = bought
    pod = rows.cloudpod(owned, plan)
    await rows.add(db, pod)
    operator = await log_in(Role.OPERATOR)

    first = await operator.delete(f"/api/cloudpods/{pod.id}")
    second = await operator.delete(f"/api/cloudpods/{pod.id}")

    assert first.status_code == 200
    assert first.json()["cloudPod"]["status"] == "deleting"
    assert second.status_code == 409
    assert second.json()["error"]["details"]["jobId"] == first.json()["job"]["id"]


async def test_a_removal_that_is_refused_has_asked_for_nothing(
    log_in: LogIn, bought: Bought, db: Database
) -> None:
    _, plan, owned = bought
    pod = rows.cloudpod(owned, plan)
    first, second = (
        rows.job(subject_id=pod.id, kind=kind, exclusive=False, started_generation=1)
        for kind in (JobKind.CLOUDPOD_RESTART, JobKind.CLOUDPOD_BACKUP)
    )
    await rows.add(db, pod, first, second)
    operator = await log_in(Role.OPERATOR)

    async with db.platform() as session:
        ends = await session.get_one(Job, second.id, with_for_update=True)
        ends.status = JobStatus.FAILED
        await session.flush()
        asking = asyncio.create_task(operator.delete(f"/api/cloudpods/{pod.id}"))
        await rows.waited_for(db)
        await session.commit()
    refused = await asking

    assert refused.status_code == 409, refused.text
    assert refused.json()["error"]["code"] == "WRONG_STATE"
    async with db.platform() as session:
        asked = await session.exec(
            select(Job).where(Job.kind == JobKind.CLOUDPOD_DELETE)
        )
        assert asked.all() == []
        assert (await session.exec(select(Decision))).all() == []


async def test_a_removal_does_not_call_off_what_another_has_suspended_it_for(
    log_in: LogIn, bought: Bought, db: Database
) -> None:
    _, plan, owned = bought
    pod = rows.cloudpod(owned, plan)
    abuse, wish = (
        rows.job(
            subject_id=pod.id,
            kind=kind,
            exclusive=False,
            started_generation=1,
            input=given,
        )
        for kind, given in (
            (JobKind.CLOUDPOD_SUSPEND, {"reason": "abuse"}),
            (JobKind.CLOUDPOD_RESTART, {}),
        )
    )
    await rows.add(db, pod, abuse, wish)
    operator = await log_in(Role.OPERATOR)

    answer = await operator.delete(f"/api/cloudpods/{pod.id}")

    assert answer.status_code == 200, answer.text
    async with db.platform() as session:
        aborted = (await session.exec(select(Decision.job_id))).all()
    assert aborted == [wish.id]


async def test_a_cloudpod_that_is_gone_is_not_deleted_again(
    log_in: LogIn, bought: Bought, db: Database
) -> None:
    _, plan, owned = bought
    pod = rows.cloudpod(owned, plan, ServiceStatus.TERMINATED)
    await rows.add(db, pod)
    operator = await log_in(Role.OPERATOR)

    refused = await operator.delete(f"/api/cloudpods/{pod.id}")

    assert refused.status_code == 409
    assert refused.json()["error"]["code"] == "WRONG_STATE"


async def test_lists_are_filtered_by_the_words_of_the_contract(
    log_in: LogIn, bought: Bought, db: Database
) -> None:
    buyer, plan, owned = bought
    gone = rows.cloudpod(owned, plan, ServiceStatus.TERMINATED)
    there = rows.cloudpod(owned, plan)
    await rows.add(db, gone, there)
    viewer = await log_in(Role.VIEWER)

    async def listed(**query: str) -> list[str]:
        answer: httpx.Response = await viewer.get("/api/cloudpods", params=query)
        return [one["id"] for one in answer.json()["items"]]

    assert await listed(status="deleted") == [str(gone.id)]
    assert await listed(status="active") == [str(there.id)]
    assert await listed(customerId=str(uuid4())) == []
    assert len(await listed(customerId=str(buyer.id))) == 2


async def test_another_tenant_sees_none(
    log_in: LogIn, bought: Bought, db: Database
) -> None:
    _, plan, owned = bought
    pod = rows.cloudpod(owned, plan)
    await rows.add(db, pod, rows.other_tenant())
    stranger = await log_in(Role.ADMIN, tenant_id=rows.OTHER)

    assert (await stranger.get("/api/cloudpods")).json()["total"] == 0
    assert (await stranger.get(f"/api/cloudpods/{pod.id}")).status_code == 404
    assert (await stranger.delete(f"/api/cloudpods/{pod.id}")).status_code == 404


async def test_what_is_not_as_wanted_is_listed_and_repaired_by_a_job(
    db: Database, log_in: LogIn, bought: Bought
) -> None:
    _, plan, owned = bought
    pod = rows.cloudpod(owned, plan, vmid=10_000, seen="absent", drift="gone")
    steady = rows.cloudpod(owned, plan, vmid=10_001, seen="running")
    leaving = rows.cloudpod(
        owned, plan, ServiceStatus.TERMINATING, vmid=10_002, drift="stopped"
    )
    await rows.add(db, rows.other_tenant(), pod, steady, leaving)
    operator = await log_in(Role.OPERATOR)

    listed = (await operator.get("/api/cloudpods/drift")).json()

    assert [(one["id"], one["drift"]) for one in listed["items"]] == [
        (str(pod.id), "gone")
    ]
    asked = await operator.post(f"/api/cloudpods/{pod.id}/repair")
    assert asked.json()["job"]["type"] == "cloudpod_repair"
    refused = await operator.post(f"/api/cloudpods/{steady.id}/repair")
    assert refused.status_code == 409
    assert "as it should be" in refused.json()["error"]["message"]
    viewer = await log_in(Role.VIEWER)
    assert (await viewer.get("/api/cloudpods/drift")).status_code == 403
    stranger = await log_in(Role.OPERATOR, tenant_id=rows.OTHER)
    assert (await stranger.get("/api/cloudpods/drift")).json()["items"] == []
    unseen = await stranger.post(f"/api/cloudpods/{pod.id}/repair")
    assert unseen.status_code == 404
