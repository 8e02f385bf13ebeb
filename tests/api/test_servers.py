"""The platform's machines are shown to its own administrators."""

from datetime import timedelta
from uuid import uuid4

import httpx
import pytest

from models.base import utc_now
from models.database import Database
from models.servers import Server
from models.users import Role
from tests.api import rows
from tests.api.conftest import LogIn


def server(name: str, *, heard: float | None, status: str = "online") -> Server:
    """`heard`: seconds ago."""
    return Server(
        name=name,
        ssh_host="10.0.0.1",
        ssh_port=22,
        host_key="ssh-ed25519 none",
        http_address="10.0.0.1:80",
        public_ip="192.0.2.1",
        capacity=10,
        status=status,
        last_heartbeat_at=None
        if heard is None
        else utc_now() - timedelta(seconds=heard),
    )


@pytest.fixture
async def fleet(db: Database) -> list[Server]:
    made = [
        server("a", heard=30),
        server("b", heard=300),
        server("c", heard=None),
        server("d", heard=1, status="draining"),
    ]
    await rows.add(db, rows.other_tenant(), *made)
    return made


async def told(client: httpx.AsyncClient) -> list[tuple[str, str]]:
    answer = await client.get("/api/servers")
    assert answer.status_code == 200, answer.text
    return [(one["name"], one["status"]) for one in answer.json()["items"]]


async def test_a_server_that_nobody_heard_lately_is_offline(
    fleet: list[Server], log_in: LogIn
) -> None:
    admin = await log_in(Role.ADMIN)
    wanted = [("a", "online"), ("b", "offline"), ("c", "offline"), ("d", "draining")]
    assert await told(admin) == wanted
    assert await told(await log_in(Role.SUPER_ADMIN)) == wanted

    one = (await admin.get(f"/api/servers/{fleet[1].id}")).json()
    assert (one["status"], one["ip"], one["role"]) == (
        "offline",
        "192.0.2.1",
        "hosting",
    )
    assert "10.0.0.1" not in str(one)
    assert (await admin.get(f"/api/servers/{uuid4()}")).status_code == 404


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
async def test_who_is_no_administrator_sees_none(
    fleet: list[Server], log_in: LogIn, role: Role
) -> None:
    client = await log_in(role)
    for path in ("/api/servers", f"/api/servers/{fleet[0].id}"):
        assert (await client.get(path)).status_code == 403


async def test_another_companys_administrator_sees_none(
    fleet: list[Server], log_in: LogIn
) -> None:
    stranger = await log_in(Role.ADMIN, tenant_id=rows.OTHER)
    for path in ("/api/servers", f"/api/servers/{fleet[0].id}"):
        assert (await stranger.get(path)).status_code == 403


@pytest.fixture
async def node(db: Database) -> Server:
    made = Server(name="pve1", role="proxmox", memory=61440, memory_used=2048, cores=16)
    await rows.add(db, made)
    return made


async def test_a_node_is_drained_at_once_and_by_one_job(
    db: Database, node: Server, log_in: LogIn
) -> None:
    boss = await log_in(Role.SUPER_ADMIN)

    made = await boss.post(f"/api/servers/{node.id}/drain")

    assert made.status_code == 200, made.text
    assert made.json()["server"]["status"] == "draining"
    job = (await boss.get(f"/api/jobs/{made.json()['jobId']}")).json()
    assert (job["type"], job["status"]) == ("node_drain", "pending")
    again = await boss.post(f"/api/servers/{node.id}/drain")
    assert again.status_code == 409
    assert again.json()["error"]["details"]["jobId"] == made.json()["jobId"]

    undrained = await boss.post(f"/api/servers/{node.id}/undrain")

    assert undrained.status_code == 200, undrained.text
    assert undrained.json()["status"] == "online"
    job = (await boss.get(f"/api/jobs/{made.json()['jobId']}")).json()
    assert job["status"] == "cancelled"
    seen = await boss.get("/api/audit", params={"entity": "server"})
    actions = {one["action"] for one in seen.json()["items"]}
    assert {"node.drained", "node.undrained"} <= actions


async def test_a_hosting_server_takes_no_new_websites_and_keeps_those_it_has(
    fleet: list[Server], log_in: LogIn
) -> None:
    boss = await log_in(Role.SUPER_ADMIN)
    for _ in range(2):
        made = (await boss.post(f"/api/servers/{fleet[0].id}/drain")).json()
        assert (made["server"]["status"], made["jobId"]) == ("draining", None)

    taken_back = await boss.post(f"/api/servers/{fleet[0].id}/undrain")

    assert taken_back.json()["status"] == "online"


async def test_only_a_super_admin_drains(node: Server, log_in: LogIn) -> None:
    boss = await log_in(Role.SUPER_ADMIN)
    assert (await boss.post(f"/api/servers/{uuid4()}/drain")).status_code == 404
    admin = await log_in(Role.ADMIN)
    for act in ("drain", "undrain"):
        answer = await admin.post(f"/api/servers/{node.id}/{act}")
        assert answer.status_code == 403
