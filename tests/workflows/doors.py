"""The web process beside a world: what people ask over HTTP is carried out."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from sqlmodel import select
from temporalio.testing import WorkflowEnvironment

from api.auth.demand import Demand
from api.settings import ApiSettings
from models.cloudpods import CloudPod
from models.jobs import Job
from models.products import Product
from models.states import JobStatus
from models.subscriptions import Subscription
from models.users import Role
from tests.api import rows
from tests.api.conftest import SECRET_KEY, add_user, client_of, token_of
from tests.api.web import running
from tests.world import DOMAIN, VAULT_KEY, World


@dataclass(frozen=True)
class Door:
    """Clients by role, and what they ask for, done."""

    world: World
    clients: dict[Role, httpx.AsyncClient]

    async def call(
        self, method: str, path: str, *, by: Role = Role.OPERATOR, **body: Any
    ) -> httpx.Response:
        """Whatever the answer is."""
        return await self.clients[by].request(
            method, f"/api/cloudpods{path}", json=body or None
        )

    async def done(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        """The answer, when the job that it names has succeeded."""
        answer = await self.call(method, path, **body)
        assert answer.is_success, answer.text
        told: dict[str, Any] = answer.json()
        job = await self.ended(told)
        assert job.status == JobStatus.SUCCEEDED, (job.status, job.step, job.message)
        return told

    async def ended(self, told: dict[str, Any]) -> Job:
        """The job that an answer names."""
        job = await self.world.read(Job, told["job"]["id"])
        return await self.world.ended(job, within=120)

    async def seen(self, pod_id: str) -> dict[str, Any]:
        """The CloudPod as the API shows it."""
        shown: dict[str, Any] = (await self.call("GET", f"/{pod_id}")).json()
        return shown

    async def config(self, pod_id: str) -> dict[str, Any]:
        """What the cluster holds of it."""
        pod = await self.world.read(CloudPod, pod_id)
        return dict(self.world.providers.proxmox.cluster.guest(pod.vmid).config)

    async def firewall(self, pod_id: str) -> dict[str, Any]:
        """The options of its guest's firewall."""
        pod = await self.world.read(CloudPod, pod_id)
        walls = self.world.providers.proxmox.cluster.firewall_config(
            "ct" if pod.kind == "lxc" else "vm", vmid=pod.vmid
        )
        return dict(walls["options"])

    async def wish(self, code: str, **more: Any) -> dict[str, Any]:
        """The body of a POST for a new, paid subscription of this product."""
        async with self.world.db.platform() as session:
            plan = (
                await session.exec(select(Product).where(Product.code == code))
            ).one()
            buyer = rows.customer()
            owned = rows.subscription(buyer, plan)
            session.add(buyer)
            await session.flush()
            session.add(owned)
            await session.commit()
            return {
                "customerId": str(buyer.id),
                "subscriptionId": str(owned.id),
                "productId": str(plan.id),
                "name": "shop",
                "template": plan.sku,
                **more,
            }

    async def subscription(self, wish: dict[str, Any]) -> str:
        """The state of the subscription that was wished for."""
        row = await self.world.read(Subscription, wish["subscriptionId"])
        return str(row.status)


@asynccontextmanager
async def opened(
    world: World, app_url: str, temporal: WorkflowEnvironment
) -> AsyncIterator[Door]:
    """For a viewer, an operator, an admin and the platform's own people."""
    settings = ApiSettings(
        database_url=SecretStr(app_url),
        secret_key=SecretStr(SECRET_KEY),
        encryption_keys=SecretStr(VAULT_KEY),
        order_webhook_secret=SecretStr("o" * 40),
        stripe_webhook_secret=SecretStr("whsec_of-the-tests"),
        platform_domain=DOMAIN,
        public_url="http://api",
        second_factor=Demand.OFF,
    )
    target = temporal.client.service_client.config.target_host
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEMPORAL_ADDRESS", target)
        async with AsyncExitStack() as stack:
            app = await stack.enter_async_context(running(settings))
            clients = {}
            for role in Role:
                token = await token_of(world.db, await add_user(world.db, role))
                client = await stack.enter_async_context(client_of(app))
                client.headers["Authorization"] = f"Bearer {token}"
                clients[role] = client
            yield Door(world, clients)
