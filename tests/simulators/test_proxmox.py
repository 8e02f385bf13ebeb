"""The Proxmox simulator: fails what it does not model, and forgets nothing."""

import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
from simulators import proxmox
from simulators.proxmox.cluster import VM_TEMPLATE

TOKEN, SECRET = "mpanel@pve!test", "the-token-of-the-tests"
HEADERS = {"Authorization": f"PVEAPIToken={TOKEN}={SECRET}"}


def built(folder: Path) -> proxmox.Proxmox:
    settings = {"port": 0, "token_id": TOKEN, "token_secret": SECRET}
    return proxmox.build(settings, folder)


def api(sim: proxmox.Proxmox) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=f"{sim.api_url}/api2/json",
        headers=HEADERS,
        verify=ssl.create_default_context(cafile=str(sim.ca_file)),
        timeout=60,
        trust_env=False,
    )


async def ledger(sim: proxmox.Proxmox) -> Any:
    async with httpx.AsyncClient(trust_env=False) as http:
        return (await http.get(f"{sim.url}/_simulator/ledger")).json()


async def test_a_call_that_nobody_has_modelled_fails(tmp_path: Path) -> None:
    sim = built(tmp_path)
    await sim.start()
    async with api(sim) as http:
        known = await http.get("/nodes")
        unknown = await http.post("/nodes/pve1/wakeonlan")

    calls = (await ledger(sim))["calls"]
    await sim.stop()

    assert known.status_code == 200
    assert unknown.status_code == 501
    assert [(one["op"], one["status"]) for one in calls] == [
        ("GET /nodes", "200"),
        ("POST /nodes/{node}/wakeonlan", "501"),
    ]


async def test_a_second_process_knows_what_the_first_has_done(tmp_path: Path) -> None:
    first = built(tmp_path)
    await first.start()
    async with api(first) as http:
        clone = f"/nodes/pve1/qemu/{VM_TEMPLATE}/clone"
        await http.post(clone, data={"newid": 101, "name": "kept", "full": 1})
        upid = (await http.get("/nodes/pve1/tasks")).json()["data"][0]["upid"]
        status = f"/nodes/pve1/tasks/{upid}/status"
        while (await http.get(status)).json()["data"]["status"] == "running":
            pass
    before = await ledger(first)
    await first.stop()

    second = built(tmp_path)
    await second.start()
    async with api(second) as http:
        config = (await http.get("/nodes/pve1/qemu/101/config")).json()["data"]
        task = (await http.get(status)).json()["data"]
    after = await ledger(second)
    await second.stop()

    assert config["name"] == "kept"
    assert task["exitstatus"] == "OK"
    assert after["effects"] == before["effects"]
    assert [one["effect"] for one in after["effects"]] == ["guest.created"]


async def test_a_clone_that_its_process_did_not_survive_leaves_nothing(
    tmp_path: Path,
) -> None:
    first = built(tmp_path)
    await first.start()
    async with httpx.AsyncClient(trust_env=False) as http:
        delays = {"delays": {"task qmclone": 60}}
        await http.put(f"{first.url}/_simulator/settings", json=delays)
    async with api(first) as http:
        clone = f"/nodes/pve1/qemu/{VM_TEMPLATE}/clone"
        upid = (await http.post(clone, data={"newid": 101})).json()["data"]
    await first.stop()

    second = built(tmp_path)
    await second.start()
    async with api(second) as http:
        task = (await http.get(f"/nodes/pve1/tasks/{upid}/status")).json()["data"]
        config = await http.get("/nodes/pve1/qemu/101/config")
    effects = (await ledger(second))["effects"]
    await second.stop()

    assert task["exitstatus"] == "interrupted by signal"
    assert config.status_code == 500
    assert effects == []


@pytest.mark.parametrize("kind", ["kill_before", "execute_then_kill"])
async def test_a_clone_goes_on_when_who_asked_for_it_is_killed(
    tmp_path: Path, kind: str
) -> None:
    sim = built(tmp_path)
    await sim.start()
    script = {"kind": kind, "op": "task qmclone", "victim": "nobody", "seconds": 2}
    async with httpx.AsyncClient(trust_env=False) as http:
        await http.put(f"{sim.url}/_simulator/faults", json=[script])
    async with api(sim) as http:
        clone = f"/nodes/pve1/qemu/{VM_TEMPLATE}/clone"
        words = {"newid": 101, "description": "mpanel:one"}
        upid = (await http.post(clone, data=words)).json()["data"]
        guest, task = "/nodes/pve1/qemu/101/config", f"/nodes/pve1/tasks/{upid}/status"
        meanwhile = (await http.get(guest)).json()["data"]
        while (told := (await http.get(task)).json()["data"])["status"] == "running":
            pass
        whole = (await http.get(guest)).json()["data"]
    effects = (await ledger(sim))["effects"]
    await sim.stop()

    assert told["exitstatus"] == "OK"
    # As at Proxmox, a lock is all that is told of a guest that is not whole.
    assert kind == "execute_then_kill" or meanwhile == {"lock": "clone", "digest": ""}
    assert whole["description"] == "mpanel:one"
    assert [one["effect"] for one in effects] == ["guest.created"]


async def test_a_firewall_is_still_there_after_a_restart(tmp_path: Path) -> None:
    first = built(tmp_path)
    await first.start()
    async with api(first) as http:
        await http.post("/cluster/firewall/groups", data={"group": "kept"})
    await first.stop()

    second = built(tmp_path)
    await second.start()
    async with api(second) as http:
        groups = (await http.get("/cluster/firewall/groups")).json()["data"]
    await second.stop()

    assert [one["group"] for one in groups] == ["kept"]
