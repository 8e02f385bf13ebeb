"""Rows that tests begin with."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text

from models.backups import Backup
from models.base import utc_now
from models.cloudpods import CloudPod
from models.customers import Customer
from models.database import Database
from models.jobs import Job
from models.orders import Order, OrderItem
from models.products import Product
from models.queries.cloudpods import drawn
from models.states import (
    BackupStatus,
    JobKind,
    JobStatus,
    OrderStatus,
    ServiceStatus,
)
from models.subscriptions import Subscription
from models.tenants import MIGRAHOSTING, Tenant
from models.websites import Website

OTHER = UUID("00000000-0000-4000-8000-000000000002")


async def add(db: Database, *rows: Any) -> None:
    """Commits the rows, one by one."""
    async with db.platform() as session:
        for row in rows:
            session.add(row)
            await session.flush()
        await session.commit()


def other_tenant() -> Tenant:
    """A second company."""
    return Tenant(id=OTHER, name="Other")


def customer(tenant_id: UUID = MIGRAHOSTING, **facts: Any) -> Customer:
    """Somebody who buys."""
    facts = {"email": f"{uuid4().hex[:8]}@example.com", "name": "John Doe", **facts}
    return Customer(tenant_id=tenant_id, **facts)


def product(tenant_id: UUID = MIGRAHOSTING, **facts: Any) -> Product:
    """A hosting product that delivers a PHP website."""
    code = f"wp_{uuid4().hex[:8]}"
    given: dict[str, Any] = {
        "code": code,
        "sku": code.upper(),
        "name": "WP Growth",
        "type": "hosting",
        "billing_cycles": [{"cycle": "monthly", "price": 4999, "currency": "USD"}],
        "attributes": {"cpu": 2, "ramMb": 2048, "diskGb": 40},
        "delivers": {"kind": "website", "site": "php", "php": "8.4"},
        **facts,
    }
    return Product(tenant_id=tenant_id, **given)


def subscription(
    buyer: Customer, bought: Product, status: ServiceStatus = ServiceStatus.ACTIVE
) -> Subscription:
    """Live since today."""
    return Subscription(
        tenant_id=buyer.tenant_id,
        customer_id=buyer.id,
        product_id=bought.id,
        product_type=bought.type,
        billing_cycle="monthly",
        status=status,
        starts_at=utc_now(),
        renews_at=utc_now() + timedelta(days=30),
    )


def cloudpod_product(tenant_id: UUID = MIGRAHOSTING) -> Product:
    """Two cores in a virtual machine."""
    return product(
        tenant_id,
        type="cloudpod",
        attributes={"cpu": 2, "ramMb": 2048, "diskGb": 40},
        delivers={"kind": "cloudpod", "guest": "qemu", "image": "debian-13"},
    )


def cloudpod(
    owned: Subscription,
    bought: Product,
    status: ServiceStatus = ServiceStatus.ACTIVE,
    **facts: Any,
) -> CloudPod:
    """The CloudPod of a subscription."""
    pod = drawn(
        bought, owned, pod_id=uuid4(), name="john", platform_domain="pods.example.com"
    )
    return CloudPod(**(pod.model_dump() | {"status": status} | facts))


def website(
    owned: Subscription, status: ServiceStatus = ServiceStatus.ACTIVE, **facts: Any
) -> Website:
    """The website of a subscription."""
    given = {"domain": f"{uuid4().hex[:8]}.example.com", **facts}
    return Website(
        tenant_id=owned.tenant_id,
        customer_id=owned.customer_id,
        subscription_id=owned.id,
        status=status,
        **given,
    )


def job(
    tenant_id: UUID = MIGRAHOSTING,
    *,
    subject_id: UUID | None = None,
    kind: JobKind = JobKind.WEBSITE_PROVISION,
    status: JobStatus = JobStatus.RUNNING,
    **facts: Any,
) -> Job:
    """Some piece of work."""
    return Job(
        tenant_id=tenant_id,
        kind=kind,
        subject_id=subject_id or uuid4(),
        status=status,
        **facts,
    )


def backup(of: Website, status: BackupStatus = BackupStatus.STORED) -> Backup:
    """An archive of the website."""
    return Backup(
        tenant_id=of.tenant_id,
        website_id=of.id,
        job_id=uuid4(),
        archive=f"{of.id}/{uuid4().hex}.tar.enc",
        status=status,
        size=1024,
        sha256="0" * 64,
        stored_at=utc_now(),
        expires_at=utc_now() + timedelta(days=30),
    )


def order(buyer: Customer, *bought: Product) -> tuple[Order, list[OrderItem]]:
    """An order being fulfilled; each line after the first needs the first."""
    made = Order(
        tenant_id=buyer.tenant_id,
        customer_id=buyer.id,
        source="migrahosting.com",
        status=OrderStatus.FULFILLING,
        total=sum(each.billing_cycles[0]["price"] for each in bought),
        currency="usd",
    )
    items: list[OrderItem] = []
    for position, each in enumerate(bought):
        items.append(
            OrderItem(
                tenant_id=buyer.tenant_id,
                order_id=made.id,
                position=position,
                product_id=each.id,
                code=each.code,
                billing_cycle="monthly",
                amount=each.billing_cycles[0]["price"],
                needs_item_id=items[0].id if items else None,
            )
        )
    return made, items


async def waited_for(db: Database) -> None:
    """Until somebody waits for what another transaction holds."""
    waiting = text(
        "select count(*) from pg_locks where not granted and pid in (select pid from"
        " pg_stat_activity where datname = current_database())"
    )
    async with asyncio.timeout(30):
        while True:
            async with db.platform() as session:
                found = await (await session.connection()).execute(waiting)
                if found.scalar_one():
                    return
            await asyncio.sleep(0.05)
