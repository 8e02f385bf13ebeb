"""How each endpoint that exists is called as its document shows, by its contract id."""

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
from argon2 import PasswordHasher

from models.base import utc_now
from models.database import Database
from models.jobs import JobStep
from models.servers import Server
from models.states import JobKind, JobStatus, Reason, ServiceStatus, StepStatus
from models.tenants import MIGRAHOSTING
from models.users import Role
from tests.api import rows, shop
from tests.api import test_stripe_webhook as stripe
from tests.api.conftest import add_user

PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class World:
    """What the documents' examples speak of. `paths` fills the parameters by noun."""

    email: str
    boss: str
    paths: dict[str, str]
    new_website: dict[str, str]
    new_cloudpod: dict[str, str]


async def populate(db: Database) -> World:
    """One of everything, complete, so that no example finds an empty list."""
    await shop.stock(db)
    buyer = rows.customer(
        phone="+1-555-1234",
        address={
            "line1": "123 Main St",
            "city": "Miami",
            "state": "FL",
            "postalCode": "33101",
            "country": "US",
        },
    )
    bought = rows.product(type="cloudpod")
    newcomer, site = rows.customer(), rows.product()
    owned, unused = rows.subscription(buyer, bought), rows.subscription(newcomer, site)
    server = Server(
        name="srv1",
        ssh_host="127.0.0.1",
        ssh_port=22,
        host_key="ssh-ed25519 none",
        http_address="127.0.0.1:80",
        public_ip="127.0.0.1",
        capacity=10,
        last_heartbeat_at=utc_now(),
    )
    plan = rows.cloudpod_product()
    rented, free = rows.subscription(buyer, plan), rows.subscription(newcomer, plan)
    pod = rows.cloudpod(rented, plan, ipv4="192.0.2.7")
    website = rows.website(owned, ServiceStatus.ACTIVE, server_id=server.id)
    order, items = rows.order(buyer, bought, rows.product())
    addon = rows.product(code=items[1].code)
    items[1].product_id = addon.id
    job = rows.job(
        subject_id=website.id,
        kind=JobKind.WEBSITE_PROVISION,
        status=JobStatus.NEEDS_ATTENTION,
        step="create_site",
        reason=Reason.REJECTED,
        message="the server said no",
        started_generation=1,
    )
    step = JobStep(
        tenant_id=job.tenant_id,
        job_id=job.id,
        name="create_site",
        status=StepStatus.PARKED,
        generation=1,
        scheduled_at=utc_now(),
        tried_at=utc_now(),
        phase=3,
        tries=4,
        started_at=utc_now() - timedelta(seconds=1),
        ended_at=utc_now(),
    )
    await rows.add(db, buyer, newcomer, bought, site, addon, owned, unused)
    await rows.add(db, server, website)
    await rows.add(db, plan, rented, free, pod)
    await rows.add(db, order, *items, job, step)
    hasher = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    user = await add_user(db, Role.ADMIN, password_hash=hasher.hash(PASSWORD))
    boss = await add_user(db, Role.SUPER_ADMIN, password_hash=hasher.hash(PASSWORD))
    somebody = await add_user(db, Role.VIEWER)
    return World(
        email=user.email,
        boss=boss.email,
        paths={
            "tenants": str(MIGRAHOSTING),
            "users": str(somebody.id),
            "customers": str(buyer.id),
            "products": str(bought.id),
            "subscriptions": str(owned.id),
            "websites": str(website.id),
            "cloudpods": str(pod.id),
            "orders": str(order.id),
            "servers": str(server.id),
            "jobs": str(job.id),
        },
        new_website={
            "customerId": str(newcomer.id),
            "subscriptionId": str(unused.id),
            "domain": "new.example.com",
        },
        new_cloudpod={
            "customerId": str(newcomer.id),
            "subscriptionId": str(free.id),
            "productId": str(plan.id),
            "name": "customer-site-1",
            "template": plan.sku,
        },
    )


async def call(
    entry: dict[str, Any], admin: httpx.AsyncClient, world: World
) -> httpx.Response:
    """Calls the endpoint with good values; one not named here takes no body."""
    noun = entry["path"].split("/")[2]
    where = entry["path"].replace("{id}", world.paths.get(noun, ""))
    match entry["id"]:
        case "mpanel.auth.login":
            return await _log_in(admin, world)
        case "mpanel.auth.refresh":
            token = (await _log_in(admin, world)).json()["refreshToken"]
            return await admin.post(where, json={"refreshToken": token})
        case "mpanel.audit.list":
            await _log_in(admin, world)
            return await admin.get(where, params={"type": "login.succeeded"})
        case "mpanel.users.create":
            body = {**_SOMEBODY, "email": "newcomer@example.com"}
            return await admin.post(where, json=body)
        case "mpanel.users.update":
            return await admin.put(where, json=_SOMEBODY)
        case "mpanel.tenants.create":
            token = (await _log_in(admin, world, world.boss)).json()["token"]
            headers = {"Authorization": f"Bearer {token}"}
            body = {"name": "Example Tenant", "status": "active"}
            return await admin.post(where, json=body, headers=headers)
        case "mpanel.products.list":
            return await admin.get(where, params={"type": "cloudpod"})
        case "provisioning.websites.list":
            # One that has its place already.
            return await admin.get(where, params={"status": "active"})
        case "mpanel.cloudpods.create":
            return await admin.post(where, json=world.new_cloudpod)
        case "provisioning.websites.create":
            return await admin.post(where, json=world.new_website)
        case "provisioning.webhooks.order_created":
            return await shop.buy(admin, shop.order())
        case "mpanel.payments.stripe_webhook":
            raw = json.dumps(_EVENT).encode()
            return await stripe.send(admin, raw, stripe.header(raw))
        case _:
            return await admin.request(entry["method"], where)


_EVENT = {
    "id": "evt_test_123",
    "type": "checkout.session.completed",
    "data": {"object": {"id": "cs_test_123", "payment_status": "paid"}},
}


_SOMEBODY = {
    "name": "Admin",
    "email": "admin@example.com",
    "roles": ["admin"],
    "status": "active",
}


async def _log_in(
    client: httpx.AsyncClient, world: World, email: str | None = None
) -> httpx.Response:
    body = {"email": email or world.email, "password": PASSWORD}
    return await client.post("/api/auth/login", json=body)
