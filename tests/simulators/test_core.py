"""The fault engine, on a toy provider that speaks HTTP."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from simulators.core import Call, Refused, Simulator, Withheld
from simulators.http import endpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, Response


class Shop(Simulator):
    """Sells apples by name."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__("shop", data_dir, port=0)
        self.app.routes.extend(
            [
                endpoint(self, "POST /apples/{name}", self._sell, account=_last4),
                endpoint(self, "GET /apples/{name}", self._show, account=_last4),
            ]
        )

    async def _sell(self, request: Request, call: Call) -> Response:
        name = request.path_params["name"]
        if name == "rotten":
            raise Refused(422, "rotten", "we do not sell these")
        with call.change():
            self.store.put("apple", name, {"name": name})
            call.effect("apple.sold", key=name)
        return JSONResponse({"name": name}, status_code=201)

    async def _show(self, request: Request, call: Call) -> Response:
        apple = self.store.find("apple", request.path_params["name"])
        if apple is None:
            raise Refused(404, "unknown")
        return JSONResponse(apple)


def _last4(request: Request) -> str:
    return request.headers.get("x-key", "")[-4:]


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    shop = Shop(tmp_path)
    await shop.start()
    yield shop
    await shop.stop()


@pytest.fixture
async def http(shop: Shop) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=shop.url, headers={"x-key": "key-abcd"}, timeout=60, trust_env=False
    ) as client:
        yield client


async def script(http: httpx.AsyncClient, **script: Any) -> None:
    answer = await http.put("/_simulator/faults", json=[script])
    assert answer.status_code == 200, answer.text


async def ledger(http: httpx.AsyncClient, since: int = 0) -> dict[str, Any]:
    answer = await http.get("/_simulator/ledger", params={"since": since})
    result: dict[str, Any] = answer.json()
    return result


def sold(ledger: dict[str, Any]) -> list[str]:
    return [effect["key"] for effect in ledger["effects"]]


async def test_the_ledger_lists_effects_calls_and_what_is_there(
    http: httpx.AsyncClient,
) -> None:
    await http.post("/apples/gala")
    await http.get("/apples/gala")

    book = await ledger(http)

    assert sold(book) == ["gala"]
    assert book["effects"][0]["effect"] == "apple.sold"
    assert [(c["op"], c["account"], c["status"]) for c in book["calls"]] == [
        ("POST /apples/{name}", "abcd", "201"),
        ("GET /apples/{name}", "abcd", "200"),
    ]
    assert book["objects"] == {"apple": [{"name": "gala"}]}
    assert sold(await ledger(http, since=book["calls"][0]["id"])) == []


@pytest.mark.parametrize(
    ("kind", "status", "done"),
    [
        ("reject", 400, []),
        ("fail", 500, []),
        ("throttle", 429, []),
        ("execute_then_fail", 500, ["gala"]),
        ("garbage", 200, ["gala"]),
    ],
)
async def test_a_fault_is_answered_and_only_some_have_an_effect(
    http: httpx.AsyncClient, kind: str, status: int, done: list[str]
) -> None:
    await script(http, kind=kind, op="POST *", retry_after=7)

    answer = await http.post("/apples/gala")

    assert answer.status_code == status
    assert answer.headers.get("retry-after") == ("7" if status == 429 else None)
    assert sold(await ledger(http)) == done
    assert (await http.post("/apples/fuji")).status_code == 201


async def test_a_rejection_is_worded_by_the_script(http: httpx.AsyncClient) -> None:
    await script(http, kind="reject", status=402, code="poor", message="no money")

    answer = await http.post("/apples/gala")

    assert answer.status_code == 402
    assert answer.json() == {"error": {"code": "poor", "message": "no money"}}


async def test_an_executed_call_may_never_be_answered(http: httpx.AsyncClient) -> None:
    await script(http, kind="execute_then_timeout", seconds=0.3)
    began = time.monotonic()

    with pytest.raises(httpx.RemoteProtocolError):
        await http.post("/apples/gala")

    assert 0.25 < time.monotonic() - began < 60
    book = await ledger(http)
    assert sold(book) == ["gala"]
    assert book["calls"][0]["status"] == "withheld"


async def test_the_providers_own_refusal_may_be_withheld_too(
    http: httpx.AsyncClient,
) -> None:
    await script(http, kind="execute_then_timeout", seconds=0)

    with pytest.raises(httpx.RemoteProtocolError):
        await http.post("/apples/rotten")

    assert sold(await ledger(http)) == []


async def test_an_error_in_the_words_of_another_protocol_may_be_withheld_too(
    http: httpx.AsyncClient, shop: Shop
) -> None:
    async def remove() -> None:
        async with shop.call("sftp remove") as call:
            call.answer("SFTPNoSuchFile")
            raise FileNotFoundError

    with pytest.raises(FileNotFoundError):
        await remove()
    await script(http, kind="execute_then_kill", victim="worker")
    with pytest.raises(Withheld):
        await remove()

    calls = (await http.get("/_simulator/ledger")).json()["calls"]
    assert [one["status"] for one in calls] == ["SFTPNoSuchFile", "withheld"]


@pytest.mark.parametrize(
    ("kind", "done"), [("kill_before", []), ("execute_then_kill", ["gala"])]
)
async def test_a_kill_fault_ends_whoever_has_that_name_at_that_moment(
    shop: Shop, http: httpx.AsyncClient, kind: str, done: list[str]
) -> None:
    await script(http, kind=kind, op="POST *", victim="worker")
    victim = await asyncio.create_subprocess_exec("sleep", "60")
    (shop.data_dir / "dev.json").write_text(
        json.dumps({"processes": {"worker": victim.pid}})
    )

    with pytest.raises(httpx.RemoteProtocolError):
        await http.post("/apples/gala")

    assert await asyncio.wait_for(victim.wait(), 30) == -9
    assert sold(await ledger(http)) == done


async def test_a_kill_fault_without_a_victim_only_withholds(
    shop: Shop, http: httpx.AsyncClient
) -> None:
    await script(http, kind="execute_then_kill", victim="worker")
    (shop.data_dir / "dev.json").write_text('{"processes": {"worker": 1}}')

    with pytest.raises(httpx.RemoteProtocolError):
        await http.post("/apples/gala")


async def test_faults_hit_the_calls_they_count(http: httpx.AsyncClient) -> None:
    await script(http, kind="fail", op="POST *", at=2, times=2)

    answers = []
    for name in "abcd":
        await http.get(f"/apples/{name}")
        answers.append((await http.post(f"/apples/{name}")).status_code)

    assert answers == [201, 500, 500, 201]
    (after,) = (await http.get("/_simulator/faults")).json()
    assert (after["seen"], after["fired"]) == (4, 2)


async def test_a_seeded_draw_is_the_same_in_every_run(http: httpx.AsyncClient) -> None:
    runs = []
    for _ in range(2):
        await script(http, kind="fail", probability=0.4, seed=3)
        runs.append([(await http.post("/apples/a")).status_code for _ in range(20)])

    assert runs[0] == runs[1]
    assert 3 <= runs[0].count(500) <= 13


async def test_a_delayed_call_blocks_nobody_else(http: httpx.AsyncClient) -> None:
    await http.put("/_simulator/settings", json={"delays": {"POST *": 3.0}})
    began = time.monotonic()

    slow = asyncio.create_task(http.post("/apples/gala"))
    async with asyncio.timeout(60):
        while not (await ledger(http))["calls"]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await http.get("/apples/gala")

    assert not slow.done()
    await slow
    assert time.monotonic() - began >= 3


async def test_a_held_call_goes_on_when_its_script_is_taken_back(
    http: httpx.AsyncClient,
) -> None:
    await script(http, kind="hold", op="POST *")
    held = asyncio.create_task(http.post("/apples/gala"))
    await asyncio.sleep(0.2)
    assert (held.done(), sold(await ledger(http))) == (False, [])

    await http.delete("/_simulator/faults")

    assert (await held).status_code == 201
    assert sold(await ledger(http)) == ["gala"]


async def test_what_was_answered_survives_the_simulator(
    shop: Shop, http: httpx.AsyncClient
) -> None:
    await http.post("/apples/gala")
    await script(http, kind="fail", op="POST *", at=2)
    await http.post("/apples/fuji")

    again = Shop(shop.data_dir)
    await again.start()
    async with httpx.AsyncClient(base_url=again.url) as reborn:
        assert sold(await ledger(reborn)) == ["gala", "fuji"]
        assert (await reborn.post("/apples/pink")).status_code == 500
    await again.stop()


async def test_reset_forgets_everything(http: httpx.AsyncClient) -> None:
    await http.post("/apples/gala")
    await script(http, kind="fail")

    await http.post("/_simulator/reset")

    assert await ledger(http) == {"effects": [], "calls": [], "objects": {}}
    assert (await http.post("/apples/gala")).status_code == 201


@pytest.mark.parametrize(
    "bad",
    [{"kind": "explode"}, {"kind": "fail", "when": 3}, {"kind": "kill_before"}, 7],
)
async def test_a_script_that_means_nothing_is_refused(
    http: httpx.AsyncClient, bad: object
) -> None:
    assert (await http.put("/_simulator/faults", json=[bad])).status_code == 422


async def test_the_command_serves_within_a_second_and_ends_when_told(
    tmp_path: Path,
) -> None:
    config = {
        "data_dir": str(tmp_path),
        "stripe": {"port": 0, "api_key": "sk_test_1234"},
    }
    (tmp_path / "simulators.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "simulators", "--config"]
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *command, str(tmp_path / "simulators.json"), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout
        ready = (await process.stdout.readline()).decode().split()
        took = time.monotonic() - began
        process.terminate()

        assert ready[:2] == ["ready", "stripe"]
        assert await process.wait() == 0
        assert took < 30  # a second when nothing else runs
    finally:
        with suppress(ProcessLookupError):
            process.kill()
