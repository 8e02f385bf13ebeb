"""Providers that live in the worker's memory, each as slow as it is told to be."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from activities.payments import Payment
from models.base import utc_now
from tests.bench.cluster import Cluster
from workers.clients import Clients

PRICE = 5498  # wp_growth 49.99 + daily_backups_30d 4.99


class Thing:
    """Whatever has these attributes."""

    def __init__(self, **facts: Any) -> None:
        self.__dict__.update(facts)


class Provider:
    """`delay`: seconds that each call of its slow kind takes."""

    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay

    async def _work(self) -> None:
        if self.delay:
            await asyncio.sleep(self.delay)

    async def aclose(self) -> None: ...


class Payments(Provider):
    """Every customer has paid what the bench's order costs."""

    def __init__(self, price: int) -> None:
        super().__init__()
        self._price = price

    async def payment(self, payment_intent_id: str) -> Payment | None:
        return None

    async def payments_of(
        self, stripe_customer_id: str, *, since: datetime
    ) -> list[Payment]:
        return [
            Payment(
                id=f"pi_{stripe_customer_id}",
                customer_id=stripe_customer_id,
                amount=self._price,
                amount_received=self._price,
                currency="usd",
                status="succeeded",
                created_at=utc_now(),
                order_reference=None,
                amount_refunded=0,
                disputed=False,
                invoice_id=None,
                charge_id=None,
            )
        ]

    async def session_payment(self, checkout_session_id: str) -> str | None:
        return None

    async def succeeded_since(self, since: datetime) -> list[Payment]:
        return []

    async def refunds_since(self, since: datetime) -> list[Any]:
        return []


class Hosting(Provider):
    """One server; what is deployed there is what the probe sees."""

    def __init__(self, delay: float) -> None:
        super().__init__(delay)
        self._sites: dict[str, str] = {}
        self.pages: dict[str, bytes] = {}

    def of(self, server: object) -> "Hosting":
        return self

    async def find_site(self, domain: str) -> Thing | None:
        user = self._sites.get(domain)
        return Thing(site_user=user) if user else None

    async def create_site(self, *, domain: str, site_user: str, **_: Any) -> None:
        await self._work()
        self._sites[domain] = site_user

    async def deploy(
        self, *, domain: str, files: Mapping[str, bytes], **_: Any
    ) -> None:
        [self.pages[domain]] = files.values()

    async def site_users(self) -> set[str]:
        return set(self._sites.values())


class Probe(Provider):
    def __init__(self, hosting: Hosting) -> None:
        super().__init__()
        self._hosting = hosting

    async def page(self, address: str, *, host_header: str) -> Thing:
        return Thing(status=200, body=self._hosting.pages[host_header])


class Names(Provider):
    async def put_record(self, *_: Any, **__: Any) -> None:
        await self._work()

    async def ours(self) -> list[Any]:
        return []


class Mail(Provider):
    async def send(self, **_: Any) -> None:
        await self._work()


class Schedules(Provider):
    def __init__(self) -> None:
        super().__init__()
        self._standing: set[UUID] = set()

    async def put(self, website_id: UUID, tenant_id: UUID) -> str:
        self._standing.add(website_id)
        return f"backup:{website_id}"

    async def exists(self, website_id: UUID) -> bool:
        return website_id in self._standing


def clients(
    *,
    site: float = 0.0,
    dns: float = 0.0,
    mail: float = 0.0,
    price: int = PRICE,
    cluster: Cluster | None = None,
) -> Clients:
    """All of them; `price`: of each order, in cents. The others are seconds."""
    hosting = Hosting(site)
    parts: dict[str, Any] = {
        "stripe": Payments(price),
        "names": Names(dns),
        "panels": hosting,
        "probe": Probe(hosting),
        "archives": Provider(),
        "mailer": Mail(mail),
        "cluster": cluster or Cluster(),
        "schedules": Schedules(),
    }
    return Clients(**parts)
