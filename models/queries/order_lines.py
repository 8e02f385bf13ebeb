"""What the lines of an order turn into: subscriptions, services and waiting jobs."""

import re
from collections.abc import Iterable, Sequence
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from models.backups import BackupPlan
from models.base import Row
from models.cloudpods import CloudPod
from models.database import Session
from models.errors import Invalid
from models.jobs import Job
from models.money import Cents
from models.ordering import OrderRequest, PlacedLine
from models.orders import Order, OrderItem
from models.products import Product
from models.queries.cloudpods import drawn
from models.queries.inserts import Values, new_row, write
from models.queries.services import LIVING
from models.states import JobKind, JobStatus, ServiceStatus
from models.subscriptions import Subscription
from models.websites import Website

DELIVERED_BY: Final = {
    "website": JobKind.WEBSITE_PROVISION,
    "backups": JobKind.BACKUPS_ENABLE,
    "cloudpod": JobKind.CLOUDPOD_PROVISION,
}

# A website's id and its name.
Host = tuple[UUID, str]

_LIVING = [str(status) for status in LIVING]
# What nobody has paid for yet holds no name: a checkout may be begun twice.
HOLDING = [str(status) for status in LIVING if status is not ServiceStatus.PENDING]
_TAKEN = text(
    "select domain from websites where domain = any(:hosts) and status = any(:holding)"
)
# Below or above a name that another customer's website has.
_NEIGHBOUR = text(
    "select domain from websites where status = any(:holding)"
    " and customer_id <> :customer"
    " and (right(domain, length(:host) + 1) = '.' || :host"
    " or right(:host, length(domain) + 1) = '.' || domain) limit 1"
)
_WITHOUT_PLAN = text(
    "select w.id from websites w where w.customer_id = :customer"
    " and w.status = 'active' and not exists (select from backup_plans p"
    " where p.website_id = w.id and p.status = any(:living))"
)
# A plan that has ended gives its website free for a new one.
_DETACH = text(
    "update backup_plans set website_id = null"
    " where website_id = :website and status <> all(:living)"
)


async def add(connection: AsyncConnection, rows: Sequence[Row]) -> None:
    """Inserts rows of one table in one statement, past the ORM's bookkeeping."""
    if rows:
        await connection.execute(
            insert(type(rows[0])), [row.model_dump() for row in rows]
        )


class Draft:
    """The rows of one order, below its root job, until they are written at once."""

    def __init__(self, root: Job, customer_id: UUID, platform_domain: str) -> None:
        self._root, self._customer_id = root, customer_id
        self._platform_domain = platform_domain
        self._subscriptions: list[Values] = []
        self._websites: list[Values] = []
        self._cloudpods: list[Values] = []
        self._plans: list[Values] = []
        self._jobs: list[Values] = []
        self._items: list[Values] = []
        self._currencies: set[str] = set()

    async def fill(
        self,
        connection: AsyncConnection,
        products: Sequence[Product],
        request: OrderRequest,
        *,
        hosts: Sequence[Host],
    ) -> None:
        """One line for each product; the request's domain is for the first website.

        `hosts`: free ones, one per line. Websites come first, so that an add-on finds
        its website wherever it stands.
        """
        domain, places = request.domain, list(enumerate(products))
        sites = [place for place in places if place[1].delivers["kind"] == "website"]
        for position, product in places:
            if product.delivers["kind"] == "cloudpod":
                self._cloudpod(position, product, request.lines[position].ssh_keys)
        addons = [place for place in places if place[1].delivers.get("needs")]
        if domain and not sites:
            raise Invalid("domain", "no item of this order has a domain")
        if domain:
            await self._refuse_domain(connection, domain)
        bare: list[tuple[UUID, Values | None]] = []
        for position, product in sites:
            website_id, host = hosts[position]
            if domain and not bare:
                host = domain
            bare.append(
                (website_id, self._website(position, product, website_id, host))
            )
        for position, product in addons:
            if not bare:
                bare.append((await self._bare_website(connection, position), None))
            self._plan(position, product, *bare.pop(0))
        self._items.sort(key=lambda item: item["position"])

    def price(self) -> tuple[Cents, str]:
        """The whole order's amount and currency, from our catalogue alone."""
        if len(self._currencies) != 1:
            raise Invalid("items", "the items are sold in different currencies")
        return sum(item["amount"] for item in self._items), next(iter(self._currencies))

    async def write(self, session: Session, order: Order) -> None:
        """The order and all its rows; its customer is there."""
        await write(
            session,
            {
                Order: [order.model_dump()],
                Subscription: self._subscriptions,
                Website: self._websites,
                CloudPod: self._cloudpods,
                BackupPlan: self._plans,
                OrderItem: self._items,
                Job: [self._root.model_dump(), *self._jobs],
            },
            wake="start",
        )

    def placed(self) -> tuple[PlacedLine, ...]:
        """What each line became, in the order in which they were asked for."""
        kinds = {job["id"]: job["kind"] for job in self._jobs}
        return tuple(
            PlacedLine(
                item["product_id"],
                item["subscription_id"],
                item["job_id"],
                kinds[item["job_id"]],
            )
            for item in self._items
        )

    def _website(
        self, position: int, product: Product, website_id: UUID, host: str
    ) -> Values:
        item, subscription = self._line(position, product, website_id)
        self._websites.append(
            new_row(
                Website,
                id=website_id,
                tenant_id=self._root.tenant_id,
                customer_id=self._customer_id,
                subscription_id=subscription["id"],
                domain=host,
                site_kind=str(product.delivers.get("site", "static")),
                php_version=str(product.delivers.get("php", "")),
            )
        )
        return item

    def _cloudpod(
        self, position: int, product: Product, ssh_keys: Sequence[str]
    ) -> None:
        pod_id = uuid4()
        _item, subscription = self._line(position, product, pod_id)
        self._cloudpods.append(
            drawn(
                product,
                Subscription(**subscription),
                pod_id=pod_id,
                name=_slug(product.code),
                platform_domain=self._platform_domain,
                ssh_keys=ssh_keys,
            ).model_dump()
        )

    def _plan(
        self,
        position: int,
        product: Product,
        website_id: UUID,
        needs: Values | None,
    ) -> None:
        plan_id = uuid4()
        item, subscription = self._line(position, product, plan_id)
        item["needs_item_id"] = needs["id"] if needs else None
        self._plans.append(
            new_row(
                BackupPlan,
                id=plan_id,
                tenant_id=self._root.tenant_id,
                customer_id=self._customer_id,
                subscription_id=subscription["id"],
                website_id=website_id,
                days=int(product.delivers.get("days", 30)),
            )
        )

    def _line(
        self, position: int, product: Product, subject_id: UUID
    ) -> tuple[Values, Values]:
        cycle = str(product.billing_cycles[0]["cycle"])
        amount, currency = product.price(cycle) or (0, "")
        self._currencies.add(currency)
        tenant_id = self._root.tenant_id
        subscription = new_row(
            Subscription,
            tenant_id=tenant_id,
            customer_id=self._customer_id,
            product_id=product.id,
            product_type=product.type,
            billing_cycle=cycle,
        )
        job = new_row(
            Job,
            tenant_id=tenant_id,
            kind=DELIVERED_BY[product.delivers["kind"]],
            status=JobStatus.WAITING,
            subject_id=subject_id,
            parent_id=self._root.id,
            order_id=self._root.order_id,
        )
        item = new_row(
            OrderItem,
            tenant_id=tenant_id,
            order_id=self._root.subject_id,
            position=position,
            product_id=product.id,
            code=product.code,
            billing_cycle=cycle,
            amount=amount,
            subscription_id=subscription["id"],
            job_id=job["id"],
        )
        self._subscriptions.append(subscription)
        self._jobs.append(job)
        self._items.append(item)
        return item, subscription

    async def _refuse_domain(self, connection: AsyncConnection, domain: str) -> None:
        below = self._platform_domain
        if domain == below or domain.endswith(f".{below}"):
            raise Invalid("domain", f"hosts below {below} are given by us")
        if await taken(connection, [domain]):
            raise Invalid("domain", f"{domain} has a website already")
        await self._refuse_neighbour(connection, domain)

    async def _refuse_neighbour(self, connection: AsyncConnection, host: str) -> None:
        """A name below another customer's would take that part of it over."""
        asked = {"host": host, "customer": self._customer_id, "holding": HOLDING}
        if (await connection.execute(_NEIGHBOUR, asked)).first() is not None:
            raise Invalid("domain", f"{host} belongs to a name of another customer")

    async def _bare_website(self, connection: AsyncConnection, position: int) -> UUID:
        """The customer's only live website that no plan serves yet."""
        field = f"items[{position}].code"
        rows = await connection.execute(
            _WITHOUT_PLAN, {"customer": self._customer_id, "living": _LIVING}
        )
        served = {plan["website_id"] for plan in self._plans}
        found = [row.id for row in rows if row.id not in served]
        if len(found) != 1:
            raise Invalid(
                field,
                "this add-on needs a website: order one with it, or have exactly one"
                f" live website without it (there are {len(found)})",
            )
        website_id = UUID(str(found[0]))
        await connection.execute(_DETACH, {"website": website_id, "living": _LIVING})
        return website_id


async def taken(connection: AsyncConnection, hosts: Iterable[str]) -> set[str]:
    """Those of the names that a website has already."""
    found = await connection.execute(_TAKEN, {"hosts": list(hosts), "holding": HOLDING})
    return {str(row.domain) for row in found}


def draw_hosts(codes: Iterable[str], platform_domain: str) -> list[Host]:
    """A new website's id, and a name made of it, for each code."""
    ids = [(uuid4(), code) for code in codes]
    return [(id, f"{_slug(code)}-{id.hex[:6]}.{platform_domain}") for id, code in ids]


def _slug(code: str) -> str:
    return re.sub("[^a-z0-9]+", "-", code.lower()).strip("-")[:40] or "site"
