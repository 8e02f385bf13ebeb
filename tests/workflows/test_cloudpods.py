"""CloudPods from a paid order to their removal, on a whole simulated cluster."""

import asyncio
import re
from collections import Counter
from uuid import uuid4

import pytest
from simulators.proxmox.cluster import CT_TEMPLATE, VM_TEMPLATE
from sqlmodel import col, delete, select
from temporalio.testing import WorkflowEnvironment

from models.addresses import Address, AddressPool, Vmid
from models.cloudpods import CloudPod
from models.database import Database, Session
from models.jobs import Decision, Job
from models.queries.addresses import add_pool
from models.servers import Server
from models.states import (
    Act,
    AddressStatus,
    JobKind,
    JobStatus,
    OrderStatus,
    Reason,
    ServiceStatus,
)
from models.tenants import MIGRAHOSTING
from tests.workflows.pods import (
    MINI,
    NANO,
    PRICES,
    guests,
    held,
    hold,
    pod_of,
    pod_world,
    records,
)
from tests.workflows.shop import buy, settled
from tests.world import Providers, World


async def ask(world: World, pod: CloudPod, kind: JobKind) -> Job:
    job = Job(tenant_id=pod.tenant_id, kind=kind, subject_id=pod.id, exclusive=False)
    async with world.db.platform() as session:
        session.add(job)
        await session.commit()
    return job


async def decide(world: World, job: Job, act: Act) -> None:
    async with world.db.platform() as session:
        fresh = await session.get_one(Job, job.id)
        session.add(
            Decision(
                tenant_id=MIGRAHOSTING,
                job_id=job.id,
                generation=fresh.generation,
                act=act,
                step=None if act is Act.ABORT_ITEM else fresh.step,
                why="test",
                author="test",
            )
        )
        await session.commit()


@pytest.mark.parametrize("item", [MINI, NANO])
async def test_a_paid_order_becomes_a_guest_that_answers(
    pods: World, item: tuple[str, str]
) -> None:
    order = await buy(pods, item, price=PRICES[item])

    _, order = await settled(pods, order)

    assert order.status == OrderStatus.COMPLETED
    pod = await pod_of(pods, order)
    assert pod.status == ServiceStatus.ACTIVE
    assert pod.seen == "running"
    (name,) = await guests(pods)
    assert pod.hostname.startswith(name)
    assert await records(pods) == {
        ("A", str(pod.ipv4)),
        ("PTR", f"{pod.hostname}."),
    }
    effects = Counter(effect for effect, _ in await pods.effects("proxmox"))
    assert (effects["guest.created"], effects["guest.started"]) == (1, 1)


async def test_a_machine_is_plugged_where_its_pool_is_and_behind_the_firewall(
    pods: World,
) -> None:
    cluster = pods.providers.proxmox.cluster
    cluster.guest(VM_TEMPLATE).config["net0"] = (
        "virtio=BC:24:11:00:00:01,bridge=vmbr9,firewall=0,tag=7"
    )

    _, order = await settled(pods, await buy(pods, MINI, price=999))

    pod = await pod_of(pods, order)
    card, *options = cluster.guest(pod.vmid).config["net0"].split(",")
    assert re.fullmatch(r"virtio=([0-9A-F]{2}:){5}[0-9A-F]{2}", card)
    assert card != "virtio=BC:24:11:00:00:01"
    assert sorted(options) == ["bridge=vmbr0", "firewall=1", "tag=7"]


async def test_a_deleted_cloudpod_leaves_nothing_and_its_address_rests(
    pods: World,
) -> None:
    _, order = await settled(pods, await buy(pods, MINI, price=999))
    pod = await pod_of(pods, order)
    ip, vmid = pod.ipv4, pod.vmid

    job = await pods.ended(await ask(pods, pod, JobKind.CLOUDPOD_DELETE))

    assert job.status == JobStatus.SUCCEEDED
    pod = await pods.read(CloudPod, pod.id)
    assert (pod.status, pod.vmid, pod.ipv4) == (ServiceStatus.TERMINATED, None, None)
    assert await guests(pods) == {}
    assert await records(pods) == set()
    async with pods.db.platform() as session:
        address = (await session.exec(select(Address).where(Address.ip == ip))).one()
        number = (await session.exec(select(Vmid).where(Vmid.vmid == vmid))).one()
    assert {address.status, number.status} == {AddressStatus.RESTING}
    assert {address.owner_id, number.owner_id} == {None}


async def add_ipv6_pool(session: Session) -> None:
    await add_pool(
        session, name="six", network="2001:db8:7::/64", gateway="fe80::1", count=4
    )


@pytest.mark.parametrize("item", [MINI, NANO])
async def test_with_pools_of_both_families_it_has_an_address_of_each(
    pods: World, item: tuple[str, str]
) -> None:
    async with pods.db.platform() as session:
        await add_ipv6_pool(session)
        await session.commit()

    _, order = await settled(pods, await buy(pods, item, price=PRICES[item]))

    assert order.status == OrderStatus.COMPLETED
    pod = await pod_of(pods, order)
    (four, six), cluster = (pod.ipv4, pod.ipv6), pods.providers.proxmox.cluster
    config = cluster.guest(pod.vmid).config
    net = str(config["ipconfig0" if item == MINI else "net0"])
    given = {f"ip={four}/24", "gw=198.51.100.1", f"ip6={six}/64", "gw6=fe80::1"}
    assert given <= set(net.split(","))
    assert str(six).startswith("2001:db8:7::")
    back = f"{pod.hostname}."
    assert await records(pods) == {("A", four), ("AAAA", six), ("PTR", back)}
    put = [key for effect, key in await pods.effects("powerdns") if "put" in effect]
    assert sorted(key.split()[-1] for key in put) == ["A", "AAAA", "PTR", "PTR"]
    assert sum(".ip6.arpa" in key for key in put) == 1

    job = await pods.ended(await ask(pods, pod, JobKind.CLOUDPOD_DELETE))

    assert job.status == JobStatus.SUCCEEDED
    assert await records(pods) == set()
    async with pods.db.platform() as session:
        had = await session.exec(
            select(Address).where(col(Address.ip).in_([four, six]))
        )
        rest = {(one.family, one.status, one.owner_id) for one in had}
    assert rest == {(4, AddressStatus.RESTING, None), (6, AddressStatus.RESTING, None)}


@pytest.mark.parametrize("item", [MINI, NANO])
async def test_with_a_pool_of_ipv6_alone_it_has_an_address_of_that(
    pods: World, item: tuple[str, str]
) -> None:
    async with pods.db.platform() as session:
        await add_ipv6_pool(session)
        (old,) = await session.exec(select(AddressPool).where(AddressPool.family == 4))
        await session.exec(delete(Address).where(col(Address.pool_id) == old.id))
        await session.delete(old)
        await session.commit()

    _, order = await settled(pods, await buy(pods, item, price=PRICES[item]))

    assert order.status == OrderStatus.COMPLETED
    pod = await pod_of(pods, order)
    assert (pod.status, pod.ipv4) == (ServiceStatus.ACTIVE, None)
    config = pods.providers.proxmox.cluster.guest(pod.vmid).config
    net = str(config["ipconfig0" if item == MINI else "net0"])
    assert {f"ip6={pod.ipv6}/64", "gw6=fe80::1"} <= set(net.split(","))
    assert "ip=" not in net
    assert await records(pods) == {("AAAA", pod.ipv6), ("PTR", f"{pod.hostname}.")}


async def test_a_guest_that_is_silent_on_one_family_is_not_called_active(
    pods: World,
) -> None:
    async with pods.db.platform() as session:
        await add_pool(
            session, name="six", network="2001:db8:7::/64", gateway="fe80::1", count=1
        )
        await session.commit()
    order = await buy(pods, MINI, price=999)
    line = (await pods.jobs(order))[JobKind.CLOUDPOD_PROVISION]
    cluster = pods.providers.proxmox.cluster
    cluster.deaf.add("ip6")
    try:
        line = await pods.parked(line)
    finally:
        cluster.deaf.clear()

    assert line.step == "call_active"
    assert "not on 2001:db8:7::" in str(line.message)
    await decide(pods, line, Act.RETRY)
    _, order = await settled(pods, order)
    assert order.status == OrderStatus.COMPLETED


async def test_many_at_once_share_no_address_and_no_vmid(pods: World) -> None:
    orders = await asyncio.gather(
        *(buy(pods, NANO, price=499, key=f"many-{n}") for n in range(20))
    )

    ends = [(await settled(pods, order))[1].status for order in orders]

    assert set(ends) == {OrderStatus.COMPLETED}
    made = [await pod_of(pods, order) for order in orders]

    assert len({pod.ipv4 for pod in made}) == len({pod.vmid for pod in made}) == 20
    created = [k for e, k in await pods.effects("proxmox") if e == "guest.created"]
    assert sorted(created) == sorted(str(pod.vmid) for pod in made)


async def test_a_clone_task_that_fails_parks_with_its_words_and_goes_on(
    pods: World,
) -> None:
    fault = {
        "kind": "reject",
        "op": "task qmclone",
        "message": "clone failed: rbd error: no space",
    }
    await pods.fault("proxmox", fault)
    order = await buy(pods, MINI, price=999)
    line = (await pods.jobs(order))[JobKind.CLOUDPOD_PROVISION]

    line = await pods.parked(line)

    assert (line.step, line.reason) == ("create_guest", Reason.REJECTED)
    assert "no space" in str(line.message)
    await decide(pods, line, Act.RETRY)
    _, order = await settled(pods, order)
    assert order.status == OrderStatus.COMPLETED


async def test_an_image_without_an_agent_is_believed_by_its_ssh_server(
    simulators: Providers, db: Database, temporal: WorkflowEnvironment
) -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-a_guest\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    at = f"127.0.0.1:{port}"
    async with (
        server,
        pod_world(simulators, db, temporal, cloudpod_reached_at=at) as pods,
    ):
        fault = {
            "kind": "fail",
            "op": "GET /nodes/{node}/qemu/{vmid}/agent/*",
            "times": 1000,
            "message": "No QEMU guest agent configured",
        }
        await pods.fault("proxmox", fault)

        _, order = await settled(pods, await buy(pods, MINI, price=999))

        assert order.status == OrderStatus.COMPLETED
        assert (await pod_of(pods, order)).status == ServiceStatus.ACTIVE


async def test_an_aborted_cloudpod_leaves_nothing(pods: World) -> None:
    fault = {
        "kind": "fail",
        "op": "GET /nodes/{node}/qemu/{vmid}/agent/*",
        "times": 1000,
        "message": "QEMU guest agent is not running",
    }
    await pods.fault("proxmox", fault)
    order = await buy(pods, MINI, price=999)
    line = (await pods.jobs(order))[JobKind.CLOUDPOD_PROVISION]
    line = await pods.parked(line)
    assert (line.step, line.reason) == ("call_active", Reason.OUT_OF_PATIENCE)
    assert len(await guests(pods)) == 1

    await decide(pods, line, Act.ABORT_ITEM)
    _, order = await settled(pods, order)

    assert order.status == OrderStatus.FAILED
    assert await guests(pods) == {}
    assert await records(pods) == set()
    async with pods.db.platform() as session:
        leased = await session.exec(
            select(Address).where(Address.status == AddressStatus.LEASED)
        )
        assert leased.all() == []


@pytest.mark.parametrize("status", [403, 500])
async def test_an_error_on_delete_is_not_read_as_gone(pods: World, status: int) -> None:
    _, order = await settled(pods, await buy(pods, MINI, price=999))
    pod = await pod_of(pods, order)
    fault = {
        "kind": "fail",
        "op": "DELETE /nodes/{node}/qemu/{vmid}",
        "status": status,
        "times": 1000,
    }
    await pods.fault("proxmox", fault)

    job = await pods.parked(await ask(pods, pod, JobKind.CLOUDPOD_DELETE))

    assert job.step == "destroy_guest"
    assert len(await guests(pods)) == 1
    assert (await pods.read(CloudPod, pod.id)).ipv4 == pod.ipv4
    await pods.control("proxmox", "DELETE", "faults")
    await decide(pods, job, Act.RETRY)
    assert (await pods.ended(job)).status == JobStatus.SUCCEEDED
    assert await guests(pods) == {}


async def test_a_node_that_is_down_is_waited_for(
    pods: World, simulators: Providers
) -> None:
    await pods.fault("proxmox", hold("task qmclone"))
    order = await buy(pods, MINI, price=999)
    await held(pods, "task qmclone")
    await pods.control("proxmox", "PUT", "nodes", json={"pve1": False})
    await pods.fault("proxmox")
    line = (await pods.jobs(order))[JobKind.CLOUDPOD_PROVISION]
    line = await pods.parked(line)
    assert line.reason == Reason.OUT_OF_PATIENCE
    await pods.control("proxmox", "PUT", "nodes", json={"pve1": True})
    await decide(pods, line, Act.RETRY)
    _, order = await settled(pods, order)

    assert order.status == OrderStatus.COMPLETED
    effects = Counter(effect for effect, _ in await pods.effects("proxmox"))
    assert effects["guest.created"] == 1


async def test_an_empty_pool_parks_and_an_address_makes_it_go_on(pods: World) -> None:
    async with pods.db.platform() as session:
        for one in (await session.exec(select(Address))).all():
            one.status, one.owner_id = AddressStatus.LEASED, uuid4()
        await session.commit()
    order = await buy(pods, NANO, price=499)
    line = (await pods.jobs(order))[JobKind.CLOUDPOD_PROVISION]
    line = await pods.parked(line)
    assert (line.reason, line.error_code) == (Reason.NO_CAPACITY, "addresses")
    assert await guests(pods) == {}

    async with pods.db.platform() as session:
        await add_pool(
            session, name="more", network="203.0.113.0/29", gateway="203.0.113.1"
        )
        await session.commit()
    await decide(pods, line, Act.RETRY)
    _, order = await settled(pods, order)

    assert order.status == OrderStatus.COMPLETED
    assert str((await pod_of(pods, order)).ipv4).startswith("203.0.113.")


async def test_a_foreign_guest_on_our_vmid_is_not_touched(pods: World) -> None:
    pve = pods.providers.proxmox.cluster
    pve.add_vm(10_000, "somebody-elses", node="pve1")

    order = await buy(pods, MINI, price=999)
    line = (await pods.jobs(order))[JobKind.CLOUDPOD_PROVISION]
    line = await pods.parked(line)

    assert line.reason == Reason.CONFLICT
    assert "somebody-elses" in str(line.message)
    await decide(pods, line, Act.ABORT_ITEM)
    _, order = await settled(pods, order)
    assert order.status == OrderStatus.FAILED
    assert pve.vm(10_000) is not None


async def test_a_missing_template_says_so(pods: World) -> None:
    pve = pods.providers.proxmox.cluster
    pve.storages["local"]["volumes"].pop(CT_TEMPLATE.partition(":")[2])

    order = await buy(pods, NANO, price=499)
    line = (await pods.jobs(order))[JobKind.CLOUDPOD_PROVISION]
    line = await pods.parked(line)

    assert line.reason == Reason.REJECTED
    assert "does not exist" in str(line.message)


async def test_a_template_whose_node_is_away_is_not_called_missing(
    pods: World,
) -> None:
    await pods.control("proxmox", "PUT", "nodes", json={"pve1": False})
    async with pods.db.platform() as session:
        (home,) = await session.exec(select(Server).where(Server.name == "pve1"))
        home.draining = True
        await session.commit()
    order = await buy(pods, MINI, price=999)
    line = (await pods.jobs(order))[JobKind.CLOUDPOD_PROVISION]

    line = await pods.parked(line)

    assert (line.reason, line.error_code) == (Reason.OUT_OF_PATIENCE, "node_away")
    assert "9000 on pve1" in str(line.message)
    await pods.control("proxmox", "PUT", "nodes", json={"pve1": True})
    await decide(pods, line, Act.RETRY)
    _, order = await settled(pods, order)
    assert order.status == OrderStatus.COMPLETED


async def test_a_missing_template_of_virtual_machines_is_named_and_may_come(
    pods: World,
) -> None:
    pve = pods.providers.proxmox.cluster
    [template] = [vm for vm in pve.vms if vm.template]
    pve.vms.remove(template)
    order = await buy(pods, MINI, price=999)
    line = (await pods.jobs(order))[JobKind.CLOUDPOD_PROVISION]
    line = await pods.parked(line)
    assert (line.reason, line.error_code) == (Reason.REJECTED, "template_missing")
    assert "debian-13" in str(line.message)

    pve.vms.append(template)
    await decide(pods, line, Act.RETRY)
    _, order = await settled(pods, order)

    assert order.status == OrderStatus.COMPLETED
