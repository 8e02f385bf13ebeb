"""CloudPods as people ask for them over HTTP, until it is done."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote

import asyncssh
import pytest
from temporalio.testing import WorkflowEnvironment

from models.cloudpods import CloudPod
from models.jobs import Job
from models.states import JobStatus, SuspensionReason
from models.users import Role
from tests.workflows.doors import Door, opened
from tests.workflows.operator import abort_item
from tests.workflows.pods import SILENT
from tests.world import World

KVM, LXC = "cloudpod_mini", "cloudpod_nano"


def a_key(comment: str) -> str:
    key = asyncssh.generate_private_key("ssh-ed25519", comment=comment)
    return key.export_public_key().decode().strip()


@pytest.fixture
async def door(
    pods: World, app_url: str, temporal: WorkflowEnvironment
) -> AsyncIterator[Door]:
    async with opened(pods, app_url, temporal) as made:
        yield made


async def keys_of(door: Door, pod_id: str) -> str:
    """As the guest was given them."""
    pod = await door.world.read(CloudPod, pod_id)
    if pod.kind == "lxc":
        return str(door.world.providers.proxmox.cluster.root_keys[pod.vmid])
    return unquote((await door.config(pod_id)).get("sshkeys", ""))


@pytest.mark.parametrize(("code", "login"), [(KVM, "mpanel"), (LXC, "root")])
async def test_its_ssh_keys_are_in_the_guest_and_new_ones_after_a_rebuild(
    door: Door, code: str, login: str
) -> None:
    first, second, later = a_key("ada"), a_key("bob"), a_key("ada, new")
    wish = await door.wish(code, sshKeys=[first, second])

    made = await door.done("POST", "", by=Role.ADMIN, **wish)

    pod_id = made["cloudPod"]["id"]
    assert made["cloudPod"]["status"] == "pending"
    seen = await door.seen(pod_id)
    assert (seen["status"], seen["seen"]) == ("active", "running")
    assert seen["sshKeys"] == [first, second]
    assert (seen["login"], seen["access"]) == (login, "ssh")
    assert await keys_of(door, pod_id) == f"{first}\n{second}"
    assert await door.subscription(wish) == "active"

    changed = await door.call("PUT", f"/{pod_id}/ssh-keys", sshKeys=[later])

    assert changed.json()["sshKeys"] == [later]
    assert await keys_of(door, pod_id) == f"{first}\n{second}"
    await door.done("POST", f"/{pod_id}/rebuild")
    assert await keys_of(door, pod_id) == later


async def given_up(door: Door) -> tuple[dict[str, Any], dict[str, Any]]:
    """The wish for a CloudPod whose guest never answered, and what was said to it."""
    await door.world.fault("proxmox", SILENT)
    wish = await door.wish(KVM)
    asked = (await door.call("POST", "", by=Role.ADMIN, **wish)).json()
    job = await door.world.parked(await door.world.read(Job, asked["job"]["id"]))
    await abort_item(door.world, job)
    assert (await door.ended(asked)).status == JobStatus.FAILED
    await door.world.fault("proxmox")
    return wish, asked


async def test_an_aborted_wish_leaves_the_paid_subscription_for_another(
    door: Door,
) -> None:
    wish, asked = await given_up(door)

    assert (await door.seen(asked["cloudPod"]["id"]))["status"] == "failed"
    assert await door.subscription(wish) == "active"
    again = await door.done("POST", "", by=Role.ADMIN, **wish)
    seen = await door.seen(again["cloudPod"]["id"])
    assert (seen["status"], seen["sshKeys"], seen["access"]) == (
        "active",
        [],
        "console",
    )


async def test_a_failed_one_is_removed_and_leaves_the_subscription_to_its_successor(
    door: Door,
) -> None:
    wish, asked = await given_up(door)
    again = await door.done("POST", "", by=Role.ADMIN, **wish)

    await door.done("DELETE", f"/{asked['cloudPod']['id']}")

    assert await door.subscription(wish) == "active"
    await door.done("DELETE", f"/{again['cloudPod']['id']}")
    assert await door.subscription(wish) == "terminated"


async def test_every_act_answers_with_its_job_and_is_done(door: Door) -> None:
    wish = await door.wish(LXC)
    pod_id = (await door.done("POST", "", by=Role.ADMIN, **wish))["cloudPod"]["id"]

    async def act(method: str, path: str, **body: object) -> tuple[str, str]:
        told = await door.done(method, f"/{pod_id}{path}", **body)
        assert told["cloudPod"]["id"] == pod_id
        return told["cloudPod"]["status"], told["job"]["type"]

    firewall = await door.firewall(pod_id)
    assert (int(firewall["enable"]), firewall["policy_in"]) == (1, "DROP")
    assert "firewall=1" in (await door.config(pod_id))["net0"]
    active = "active"
    assert await act("POST", "/suspend", by=Role.ADMIN, reason="admin") == (
        "suspended",
        "cloudpod_suspend",
    )
    seen = await door.seen(pod_id)
    assert (seen["status"], seen["suspendedFor"]) == ("suspended", "admin")
    assert (await door.call("POST", f"/{pod_id}/resume")).status_code == 403
    assert (await act("POST", "/resume", by=Role.ADMIN))[1] == "cloudpod_resume"
    assert (await door.seen(pod_id))["suspendedFor"] is None
    assert await act("POST", "/restart") == (active, "cloudpod_restart")
    assert await act("PATCH", "", name="other") == (active, "cloudpod_rename")
    assert (await door.seen(pod_id))["name"] == "other"
    assert await act("POST", "/snapshots", name="before") == (
        active,
        "cloudpod_snapshot",
    )
    (snapshot,) = (await door.call("GET", f"/{pod_id}/snapshots")).json()["items"]
    assert (snapshot["name"], snapshot["status"]) == ("before", "stored")
    assert await act("POST", "/rollback", snapshotId=snapshot["id"]) == (
        active,
        "cloudpod_rollback",
    )
    assert await act("POST", "/backups") == (active, "cloudpod_backup")
    (backup,) = (await door.call("GET", f"/{pod_id}/backups")).json()["items"]
    assert (backup["status"], backup["size"] > 0) == ("stored", True)
    assert await act("POST", "/restore", backupId=backup["id"]) == (
        active,
        "cloudpod_restore",
    )
    assert await act("POST", "/rebuild") == (active, "cloudpod_rebuild")
    listed = (await door.call("GET", f"/{pod_id}/actions")).json()
    assert listed["total"] == len(listed["items"]) == 10
    assert {one["status"] for one in listed["items"]} == {"completed"}
    assert listed["items"][0]["type"] == "cloudpod_rebuild"


@pytest.mark.parametrize("reason", list(SuspensionReason))
async def test_who_has_the_reason_lifts_it_and_nobody_else(
    door: Door, reason: SuspensionReason
) -> None:
    wish = await door.wish(LXC)
    pod_id = (await door.done("POST", "", by=Role.ADMIN, **wish))["cloudPod"]["id"]
    may = {
        SuspensionReason.TENANT_REQUEST: [Role.OPERATOR, Role.ADMIN],
        SuspensionReason.ADMIN: [Role.ADMIN],
    }.get(reason, [])
    for role in (Role.OPERATOR, Role.ADMIN, Role.SUPER_ADMIN):
        suspended = await door.call(
            "POST", f"/{pod_id}/suspend", by=role, reason=reason
        )
        if role not in may and role != Role.SUPER_ADMIN:
            assert suspended.status_code == 403
            continue
        assert (await door.ended(suspended.json())).status == JobStatus.SUCCEEDED
        for other in {Role.OPERATOR, Role.ADMIN} - set(may):
            refused = await door.call("POST", f"/{pod_id}/resume", by=other)
            assert refused.status_code == 403
        await door.done("POST", f"/{pod_id}/resume", by=role)
        assert (await door.seen(pod_id))["status"] == "active"
