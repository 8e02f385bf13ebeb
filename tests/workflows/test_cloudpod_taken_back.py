"""An order takes back a CloudPod that lives already: its acts end first, and what was
lent to it is another's afterwards."""

from functools import partial

from simulators.proxmox.cluster import CT_TEMPLATE
from sqlmodel import col, select, update

from api.services import cloudpods as service
from models.addresses import Vmid
from models.cloudpods import CloudPod
from models.jobs import Job
from models.orders import Order
from models.states import (
    AddressStatus,
    DecisionStatus,
    JobKind,
    JobStatus,
    OrderStatus,
    Reason,
    ServiceStatus,
)
from tests.workflows.node_paths import REFUSED
from tests.workflows.operator import abort_item, decision, retry
from tests.workflows.pods import (
    MINI,
    NANO,
    SILENT,
    a_move,
    a_pod,
    ask,
    guests,
    pod_of,
    records,
)
from tests.workflows.shop import buy, settled
from tests.world import World

CONFIG = "PUT /nodes/{node}/qemu/{vmid}/config"


async def lines(world: World, order: Order) -> list[Job]:
    async with world.db.platform() as session:
        found = await session.exec(
            select(Job)
            .where(Job.order_id == order.id, Job.kind == JobKind.CLOUDPOD_PROVISION)
            .order_by(col(Job.created_at))
        )
        return list(found)


async def test_a_move_that_is_halfway_ends_before_its_guest_is_taken_back(
    pods: World,
) -> None:
    kept = pods.providers.proxmox.cluster.storages["local"]["volumes"]
    kept.pop(CT_TEMPLATE.partition(":")[2])
    order = await buy(pods, MINI, NANO, price=999 + 499)
    made = await lines(pods, order)

    async def delivered() -> list[Job]:
        return [one for one in await lines(pods, order) if one.status == "succeeded"]

    [line] = await pods.until(delivered, bool)
    await pods.parked(next(one for one in made if one.id != line.id))
    pod = await pods.read(CloudPod, line.subject_id)
    full = {"kind": "fail", "op": "POST /nodes/{node}/qemu", "status": 500}
    full |= {"message": "no space left on device", "times": 1000}
    await pods.fault("proxmox", REFUSED, full)
    move = await pods.parked(await a_move(pods, pod))
    assert move.step == "carry_guest"
    waiting = await ask(pods, partial(service.rename, name="other"), pod)

    await abort_item(pods, line)

    line = await pods.ended(line)
    assert line.status == JobStatus.FAILED, line
    assert (await pods.read(Job, move.id)).status == JobStatus.FAILED
    waiting = await pods.read(Job, waiting.id)
    assert waiting.status == JobStatus.CANCELLED
    assert "taken back with its order" in str(waiting.message)
    pod = await pods.read(CloudPod, pod.id)
    assert (pod.status, pod.vmid) == (ServiceStatus.FAILED, None)
    assert await guests(pods) == {}


async def test_a_removal_waits_for_an_act_that_a_later_run_takes_back(
    pods: World,
) -> None:
    pod = await a_pod(pods, MINI)
    await pods.fault("proxmox", SILENT)
    resize = await pods.parked(
        await ask(pods, partial(service.resize, memory=4096), pod)
    )
    await pods.client.get_workflow_handle(resize.workflow_id).terminate("by hand")
    resize = await pods.until(
        lambda: pods.read(Job, resize.id),
        lambda one: one.reason == Reason.RUN_ENDED_OUTSIDE,
    )
    await pods.fault("proxmox", {"kind": "reject", "op": CONFIG, "times": 1000})
    abort = await abort_item(pods, resize)
    await pods.until(
        lambda: decision(pods, abort.id),
        lambda one: one.status == DecisionStatus.DELIVERED,
    )
    resize = await pods.until(
        lambda: pods.read(Job, resize.id),
        lambda one: one.undoing and one.status == JobStatus.NEEDS_ATTENTION,
    )

    removal = await ask(pods, service.delete, pod)

    await pods.until(
        lambda: pods.read(Job, removal.id), lambda one: one.status == JobStatus.RUNNING
    )
    assert (await pods.read(CloudPod, pod.id)).status == ServiceStatus.ACTIVE
    await pods.control("proxmox", "DELETE", "faults")
    await retry(pods, resize)
    assert (await pods.ended(resize)).status == JobStatus.FAILED
    assert (await pods.ended(removal)).status == JobStatus.SUCCEEDED
    assert await guests(pods) == {}


async def test_what_was_lent_to_one_that_was_given_up_is_lent_again(
    pods: World,
) -> None:
    await pods.fault("proxmox", SILENT)
    order = await buy(pods, MINI, price=999)
    [line] = await lines(pods, order)
    await abort_item(pods, await pods.parked(line))
    await settled(pods, order)
    first = await pod_of(pods, order)
    assert (first.vmid, first.ipv4, first.ipv6) == (None, None, None)
    await pods.control("proxmox", "DELETE", "faults")
    async with pods.db.platform() as session:
        resting = Vmid.status == AddressStatus.RESTING
        await session.exec(
            update(Vmid).where(~resting).values(status=AddressStatus.LEASED)
        )
        await session.exec(
            update(Vmid)
            .where(resting)
            .values(status=AddressStatus.FREE, rests_until=None)
        )
        await session.commit()

    _, order = await settled(pods, await buy(pods, NANO, price=499))

    assert order.status == OrderStatus.COMPLETED


async def test_a_removal_that_is_called_off_late_leads_its_names_back(
    pods: World,
) -> None:
    pod = await a_pod(pods, MINI)
    before = await records(pods)
    op = "DELETE /nodes/{node}/qemu/{vmid}"
    await pods.fault("proxmox", {"kind": "fail", "op": op, "status": 403, "times": 999})
    removal = await pods.parked(await ask(pods, service.delete, pod))
    assert removal.step == "destroy_guest"
    await pods.until(lambda: records(pods), lambda left: left == set())

    await abort_item(pods, removal)

    assert (await pods.ended(removal)).status == JobStatus.FAILED
    assert await records(pods) == before
    assert (await pods.read(CloudPod, pod.id)).status == ServiceStatus.ACTIVE
