"""Planted faults, seen as an operator sees them: by the API alone.

Each row of the inbox must say why, whose, how much was taken, what exists and what to
do. Then the fault is healed, what was suggested is done, and the order ends right.
"""

import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest
from pydantic import SecretStr
from simulators.proxmox.cluster import VM_TEMPLATE
from sqlmodel import select
from temporalio.testing import WorkflowEnvironment

from activities.gate import OpenGate
from activities.providers.cloudpanel import CloudPanel
from api.auth.demand import Demand
from api.settings import ApiSettings
from models.base import utc_now
from models.customers import Customer
from models.database import Database
from models.jobs import Job, ProviderAccount
from models.orders import Order
from models.servers import Server
from models.states import JobStatus, OrderStatus
from models.users import Role
from tests.api.conftest import SECRET_KEY, add_user, client_of, token_of
from tests.api.web import running
from tests.judge import balanced
from tests.workflows.fleet import fleet
from tests.workflows.operator import refunds
from tests.workflows.paths import a_website, ask_for_backup, finished
from tests.workflows.pods import MINI, PRICES, pod_of, pod_world
from tests.workflows.shop import (
    PRICE,
    buy,
    domains,
    line_of,
    make_site,
    settled,
    unpaid,
)
from tests.workflows.stories import Buggy
from tests.world import VAULT_KEY, Providers, World, _public, world
from workflows.queues import ALL, HOSTING, PROVIDERS, STORIES
from workflows.registry import WORKFLOWS
from workflows.websites import ProvisionWebsite

NEW_SITE = "clpctl site:add*"
PAID = PRICE / 100


@dataclass(frozen=True)
class Planted:
    """An order that the fault has hit, and what takes the fault away."""

    order: Order
    heal: Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Expected:
    """What the row must say. `exists`: kind and state, in the order they were made.

    `act`: the suggestion; `ends`: the order, once it was followed.
    """

    plant: Callable[[World], AbstractAsyncContextManager[Planted]]
    says: tuple[str, ...]
    exists: frozenset[str]
    act: str
    taken: float = PAID
    unclaimed: float = 0
    ends: OrderStatus = OrderStatus.COMPLETED
    queues: tuple[str, ...] = ALL


def scripted(
    provider: str, **script: Any
) -> Callable[[World], AbstractAsyncContextManager[Planted]]:
    """A fault that the provider's script tells."""

    @contextlib.asynccontextmanager
    async def plant(here: World) -> AsyncIterator[Planted]:
        await here.fault(provider, {"times": 10_000, **script})
        yield Planted(await buy(here), lambda: here.fault(provider))

    return plant


@contextlib.asynccontextmanager
async def storm(here: World) -> AsyncIterator[Planted]:
    """The name server says 429 for longer than our patience is."""
    throttled = {"kind": "throttle", "op": "*", "retry_after": 2, "times": 10_000}
    await here.fault("powerdns", throttled)

    async def closed() -> bool:
        async with here.db.platform() as session:
            accounts = (await session.exec(select(ProviderAccount))).all()
        return any(one.blocked_until > utc_now() for one in accounts)

    async def heal() -> None:
        await here.fault("powerdns")
        await here.until(closed, lambda still: not still)

    yield Planted(await buy(here), heal)


@contextlib.asynccontextmanager
async def bad_credentials(here: World) -> AsyncIterator[Planted]:
    """Somebody has taken our key off the hosting server."""
    allowed = here.providers.folder / "authorized_keys"
    ours = allowed.read_text()
    allowed.write_text("")

    async def heal() -> None:
        allowed.write_text(ours)

    try:
        yield Planted(await buy(here), heal)
    finally:
        allowed.write_text(ours)


@contextlib.asynccontextmanager
async def wrong_host_key(here: World) -> AsyncIterator[Planted]:
    """The server that answers is not the one we know."""

    async def know(key: str) -> None:
        async with here.db.platform() as session:
            (await session.exec(select(Server))).one().host_key = key
            await session.commit()

    await know(_public(here.providers.folder / "store_host_key"))
    right = _public(here.providers.folder / "hosting_host_key")
    yield Planted(await buy(here), lambda: know(right))


@contextlib.asynccontextmanager
async def foreign_site(here: World) -> AsyncIterator[Planted]:
    """Somebody has the domain on our server already."""
    order = await unpaid(here)
    domain = (await here.website_of(order)).domain
    await make_site(here, domain, "stranger")
    await here.pay(PRICE, customer=order.stripe_customer_id)

    async def heal() -> None:
        async with here.db.platform() as session:
            server = (await session.exec(select(Server))).one()
        panel = CloudPanel(
            server.ssh_host,
            server.ssh_port,
            username=server.ssh_user,
            client_key=here.settings.hosting_ssh_key_file,
            known_host_key=server.host_key,
            gate=OpenGate(),
        )
        await panel.delete_site(domain, site_user="stranger")
        await panel.aclose()

    yield Planted(order, heal)


@contextlib.asynccontextmanager
async def our_own_site(here: World) -> AsyncIterator[Planted]:
    """Two customers want one name; the other was first."""
    second = await unpaid(here, domain="wanted.example")
    first = await unpaid(here, domain="wanted.example")
    await here.pay(PRICE, customer=first.stripe_customer_id)
    await settled(here, first)
    await here.pay(PRICE, customer=second.stripe_customer_id)
    yield Planted(second, nothing)


@contextlib.asynccontextmanager
async def paid_too_much(here: World) -> AsyncIterator[Planted]:
    yield Planted(await buy(here, price=PRICE + 200), nothing)


@contextlib.asynccontextmanager
async def worker_gone(here: World) -> AsyncIterator[Planted]:
    """Nobody serves the queue of the hosting servers."""
    async with contextlib.AsyncExitStack() as later:

        async def heal() -> None:
            await later.enter_async_context(fleet(here, queues=(HOSTING,)))

        yield Planted(await buy(here), heal)


@contextlib.asynccontextmanager
async def buggy_workflow(here: World) -> AsyncIterator[Planted]:
    """A version is deployed whose story of a website fails."""
    stories = [Buggy if one is ProvisionWebsite else one for one in WORKFLOWS]
    async with (
        contextlib.AsyncExitStack() as former,
        contextlib.AsyncExitStack() as new,
    ):
        await former.enter_async_context(
            fleet(here, stories=stories, queues=(STORIES,), drain=0.5)
        )

        async def heal() -> None:
            await former.aclose()
            await new.enter_async_context(fleet(here, queues=(STORIES,)))

        yield Planted(await buy(here), heal)


@contextlib.asynccontextmanager
async def run_terminated(here: World) -> AsyncIterator[Planted]:
    """Somebody clicks in the Temporal UI, in the middle of it."""
    await here.fault("powerdns", {"kind": "hold", "op": "PATCH *"})
    order = await buy(here)
    job = await line_of(here, order)
    await here.until(here.sites, lambda sites: len(sites) == 1)
    await here.client.get_workflow_handle(job.workflow_id).terminate("by hand")
    await here.fault("powerdns")
    yield Planted(order, nothing)


@contextlib.asynccontextmanager
async def undo_stuck(here: World) -> AsyncIterator[Planted]:
    """An abort, and a server that does not let go of the site."""
    await here.fault(
        "hosting", {"kind": "fail", "op": "clpctl site:delete", "times": 10_000}
    )
    await here.fault("powerdns", {"kind": "reject", "op": "PATCH *"})
    order = await buy(here)
    async with operator(here) as api:
        entry = await waiting(here, api, order)
        job = entry["job"]["id"]
        await here.until(
            lambda: existing(api, job),
            lambda found: "site present" in found,
        )
        await decide(api, job, "abort_order")
        await here.until(
            lambda: inbox_of(api, order),
            lambda found: any(one["undoing"] for one in found),
        )
    yield Planted(order, lambda: here.fault("hosting"))


async def nothing() -> None:
    """Some faults are healed by the decision itself."""


# At which provider each exists, and on which of our accounts there.
AT = {"site": ("cloudpanel", "srv1"), "record": ("powerdns", "")}
SITE, RECORD = "site present", "record present"
MAYBE_SITE, MAYBE_RECORD = "site intended", "record intended"
BOTH = frozenset({SITE, RECORD})
NO_SITE = frozenset({MAYBE_SITE, RECORD})

TABLE = {
    "bad credentials": Expected(
        bad_credentials, ("refuses our SSH key", "authorized_keys"), NO_SITE, "retry"
    ),
    "wrong host key": Expected(
        wrong_host_key, ("another host key", "fingerprint"), NO_SITE, "retry"
    ),
    "disk full": Expected(
        scripted("hosting", kind="reject", op="sftp write", code="disk_full"),
        ("disk", "full", "df -h"),
        BOTH,
        "retry",
    ),
    "quota": Expected(
        scripted("hosting", kind="reject", op=NEW_SITE, message="Disk quota exceeded"),
        ("quota", "used up"),
        NO_SITE,
        "retry",
    ),
    "name conflict, foreign": Expected(
        foreign_site, ("somebody else's site", "stranger"), NO_SITE, "correct"
    ),
    "name conflict, ours": Expected(
        our_own_site,
        ("another website of ours",),
        frozenset(),
        "abort_item",
        ends=OrderStatus.FAILED,
    ),
    "429 storm": Expected(
        storm,
        ("telling us to wait", "limit"),
        frozenset({SITE, MAYBE_RECORD}),
        "retry",
    ),
    "DNS refused": Expected(
        scripted("powerdns", kind="reject", op="PATCH *", status=422),
        ("name server refuses the record",),
        frozenset({SITE, MAYBE_RECORD}),
        "correct",
    ),
    "payment ambiguous": Expected(
        paid_too_much,
        ("paid too much", "5698 USD"),
        frozenset(),
        "correct",
        taken=0,
        unclaimed=PAID + 2,
    ),
    "worker gone": Expected(
        worker_gone,
        ("No worker takes the step", "hosting"),
        NO_SITE - {MAYBE_SITE},
        "wait",
        queues=tuple(one for one in ALL if one != HOSTING),
    ),
    "buggy workflow": Expected(
        buggy_workflow,
        ("workflow's code fails", "former version"),
        frozenset(),
        "wait",
        queues=PROVIDERS,
    ),
    "run terminated": Expected(
        run_terminated, ("ended from outside", "adopts"), BOTH, "retry"
    ),
    "undo stuck": Expected(
        undo_stuck,
        ("Undo stuck", "hosting server does not answer", "money is given back only"),
        frozenset({SITE, "record removed"}),
        "retry",
        ends=OrderStatus.FAILED,
    ),
}


@pytest.mark.parametrize("fault", TABLE)
async def test_the_row_tells_all_that_is_needed_and_its_advice_is_right(
    fault: str,
    simulators: Providers,
    db: Database,
    temporal: WorkflowEnvironment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = TABLE[fault]
    target = temporal.client.service_client.config.target_host
    monkeypatch.setenv("TEMPORAL_ADDRESS", target)
    async with (
        world(
            simulators,
            db,
            target,
            patience_seconds=1.0,
            undo_patience_seconds=0.5,
            queues=expected.queues,
        ) as here,
        expected.plant(here) as planted,
        operator(here) as api,
    ):
        detail = await the_row(here, api, planted.order, expected)

        await planted.heal()
        await advised(api, detail)

        job, order = await settled(here, planted.order)
        assert order.status == expected.ends, job.message
        await balanced(here)
        site = await here.website_of(order)
        lives = site.domain in await domains(here)
        if expected.ends is OrderStatus.COMPLETED:
            assert lives
            assert str(site.id) in (await here.page(site.domain)).text
        else:
            assert str(site.id) not in (await here.page(site.domain)).text
            assert sum(await refunds(here, order)) == PRICE
        assert await inbox_of(api, order) == [], "it still waits"


async def test_a_full_backup_store_is_told_and_the_backup_goes_on_when_it_has_room(
    simulators: Providers,
    db: Database,
    temporal: WorkflowEnvironment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = temporal.client.service_client.config.target_host
    monkeypatch.setenv("TEMPORAL_ADDRESS", target)
    async with world(simulators, db, target) as here, operator(here) as api:
        website = await a_website(here)
        full = {"kind": "reject", "op": "sftp write", "code": "disk_full"}
        await here.fault("backup_store", {**full, "times": 10_000})

        job_id = await ask_for_backup(here, website)
        entry = await here.until(
            lambda: entry_of(api, job_id),
            lambda found: found is not None,
        )

        assert entry is not None
        assert entry["cause"]["id"] == "backup_store.rejected.disk_full"
        assert entry["domain"] == website.domain
        assert entry["customer"]["email"].endswith("@example.com")
        detail = await get(api, f"/api/operator/inbox/{job_id}")
        assert "df -h" in " ".join(detail["cause"]["checks"])
        await here.fault("backup_store")
        await advised(api, detail)
        job = await here.read(Job, job_id)
        await finished(here, job, JobStatus.SUCCEEDED)
        assert await entry_of(api, job_id) is None


async def test_a_missing_template_is_told_and_the_cloudpod_is_made_when_it_is_back(
    simulators: Providers,
    db: Database,
    temporal: WorkflowEnvironment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = temporal.client.service_client.config.target_host
    monkeypatch.setenv("TEMPORAL_ADDRESS", target)
    async with pod_world(simulators, db, temporal) as here, operator(here) as api:
        template = simulators.proxmox.cluster.guest(VM_TEMPLATE)
        template.template = False
        try:
            order = await buy(here, MINI, price=PRICES[MINI])
            entry = await waiting(here, api, order)
        finally:
            template.template = True

        pod = await pod_of(here, order)
        assert entry["cause"]["id"] == "proxmox.rejected.template_missing"
        assert entry["domain"] == pod.hostname
        assert entry["customer"]["email"].endswith("@example.com")
        detail = await get(api, f"/api/operator/inbox/{entry['job']['id']}")
        assert "debian-13" in detail["job"]["message"]
        await advised(api, detail)
        _, order = await settled(here, order)
        assert order.status == OrderStatus.COMPLETED
        assert await inbox_of(api, order) == []


async def entry_of(api: httpx.AsyncClient, job_id: UUID) -> dict[str, Any] | None:
    listed = (await get(api, "/api/operator/inbox"))["items"]
    return next((one for one in listed if one["job"]["id"] == str(job_id)), None)


async def the_row(
    here: World, api: httpx.AsyncClient, order: Order, expected: Expected
) -> dict[str, Any]:
    """The job in full, after its row has told everything in one look."""
    entry = await waiting(here, api, order)
    job_id = entry["job"]["id"]
    exists = await here.until(
        lambda: existing(api, job_id),
        lambda found: found == expected.exists,
    )
    assert exists == expected.exists
    detail = await get(api, f"/api/operator/inbox/{job_id}")
    cause = detail["cause"]
    told = " ".join(
        [
            cause["title"],
            cause["means"],
            cause["origin"],
            *cause["checks"],
            cause["advice"],
            detail["job"]["message"],
        ]
    )
    for words in expected.says:
        assert words in told, f"{words!r} is not said: {told}"
    buyer = await here.read(Customer, order.customer_id)
    assert (detail["customer"]["id"], detail["customer"]["email"]) == (
        str(buyer.id),
        buyer.email,
    )
    for effect in detail["effects"]:
        assert (effect["provider"], effect["account"]) == AT[effect["kind"]]
    assert detail["money"]["taken"] == entry["taken"] == expected.taken
    for told_of in (entry, detail, detail["money"]):
        paid = [one["amount"] for one in told_of["unclaimed"]]
        assert sum(paid) == pytest.approx(expected.unclaimed)
    assert cause["act"] == expected.act
    groups = (await get(api, "/api/operator/inbox/groups"))["items"]
    assert cause["id"] in {group["cause"]["id"] for group in groups}
    return detail


async def advised(api: httpx.AsyncClient, detail: dict[str, Any]) -> None:
    """Does what the row says is right."""
    advice = detail["cause"]["act"]
    by_act = {one["act"]: one for one in detail["acts"]}
    if advice == "wait":
        assert not by_act["retry"]["allowed"]
        return
    act = "retry" if advice == "correct" else advice
    assert by_act[act]["allowed"], by_act[act]
    assert by_act[act]["would"]
    more: dict[str, Any] = {}
    if payment := re.search(r"pi_\w+", detail["job"]["message"]):
        more["correction"] = {"paymentIntentId": payment[0]}
    await decide(api, detail["job"]["id"], act, **more)


async def decide(api: httpx.AsyncClient, job_id: str, act: str, **more: Any) -> None:
    answer = await api.post(
        "/api/operator/inbox/decide",
        json={"act": act, "reason": "as advised", "jobIds": [job_id], **more},
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["refused"] == 0, answer.text


async def waiting(here: World, api: httpx.AsyncClient, order: Order) -> dict[str, Any]:
    """The order's row in the inbox."""
    found = await here.until(
        lambda: inbox_of(api, order), lambda entries: len(entries) > 0
    )
    return found[0]


async def inbox_of(api: httpx.AsyncClient, order: Order) -> list[dict[str, Any]]:
    listed = await get(api, "/api/operator/inbox", pageSize=100)
    return [one for one in listed["items"] if one["job"]["orderId"] == str(order.id)]


async def existing(api: httpx.AsyncClient, job_id: str) -> frozenset[str]:
    """Kind and state of what the job has at providers."""
    detail = await get(api, f"/api/operator/inbox/{job_id}")
    return frozenset(f"{one['kind']} {one['state']}" for one in detail["effects"])


async def get(api: httpx.AsyncClient, path: str, **params: Any) -> dict[str, Any]:
    answer = await api.get(path, params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@contextlib.asynccontextmanager
async def operator(here: World) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody with a browser: an API over the same rows, and no other way in."""
    settings = ApiSettings(
        database_url=SecretStr(here.db.url),
        secret_key=SecretStr(SECRET_KEY),
        encryption_keys=SecretStr(VAULT_KEY),
        order_webhook_secret=SecretStr("shared-with-the-marketing-site"),
        stripe_webhook_secret=SecretStr("whsec_of-the-tests"),
        platform_domain="sites.example.net",
        public_url="http://api",
        second_factor=Demand.OFF,
        call_limit=100_000,
        call_limit_poll=100_000,
    )
    async with running(settings) as app, client_of(app) as api:
        token = await token_of(here.db, await add_user(here.db, Role.OPERATOR))
        api.headers["Authorization"] = f"Bearer {token}"
        yield api
