"""What the lines of an order turn into: subscriptions, services and waiting jobs."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final
from uuid import UUID, uuid4

from models.backups import BackupPlan
from models.base import Row, utc_now
from models.cloudpods import CloudPod
from models.database import Ask
from models.errors import Invalid
from models.jobs import Job
from models.money import Cents
from models.ordering import OrderRequest, Placed, PlacedLine
from models.orders import Order, OrderItem
from models.products import Offer
from models.queries.cloudpods import drawn
from models.queries.inserts import Values, new_row
from models.queries.services import LIVING
from models.states import JobKind, JobStatus, ServiceStatus
from models.subscriptions import Subscription
from models.websites import Website

DELIVERED_BY: Final = {
    "website": JobKind.WEBSITE_PROVISION,
    "backups": JobKind.BACKUPS_ENABLE,
    "cloudpod": JobKind.CLOUDPOD_PROVISION,
}


def _listed(statuses: Iterable[ServiceStatus]) -> str:
    return ", ".join(f"'{status}'" for status in statuses)


_LIVING: Final = _listed(LIVING)
# What nobody has paid for yet holds no name: a checkout may be begun twice.
HOLDING: Final = _listed(one for one in LIVING if one is not ServiceStatus.PENDING)
_TAKEN = (
    "select domain from websites where domain = %(host)s"  # noqa: S608
    f" and status in ({HOLDING})"
)
# Below or above a name that another customer's website has.
_NEIGHBOUR = (
    f"select domain from websites where status in ({HOLDING})"  # noqa: S608
    " and customer_id is distinct from (select id from customers"
    " where tenant_id = %(tenant)s and email = %(email)s)"
    " and (right(domain, length(%(host)s) + 1) = '.' || %(host)s::text"
    " or right(%(host)s, length(domain) + 1) = '.' || domain) limit 1"
)
_WITHOUT_PLAN = (
    "select w.id from websites w where w.customer_id = (select id from"  # noqa: S608
    " customers where tenant_id = %(tenant)s and email = %(email)s)"
    " and w.status = 'active' and not exists (select from backup_plans p"
    f" where p.website_id = w.id and p.status in ({_LIVING}))"
)
# A plan that has ended gives its website free for a new one.
FREED: Final = (
    "update backup_plans set website_id = null"  # noqa: S608
    f" where website_id = any(%(freed)s) and status not in ({_LIVING}) returning id"
)


class Draft:
    """The rows of one order, below its root job, until they are written at once.

    No row has its customer yet: the statement that writes them makes or finds it.
    """

    def __init__(
        self,
        *,
        tenant_id: UUID,
        email: str,
        platform_domain: str,
        accepted_payment: str | None,
    ) -> None:
        self.order_id = uuid4()
        self._customer = {"tenant": tenant_id, "email": email}
        self._platform_domain = platform_domain
        self._root = new_row(
            created_at=utc_now(),
            kind=JobKind.FULFIL_ORDER,
            subject_id=self.order_id,
            order_id=self.order_id,
            input={"accepted_payment": accepted_payment} if accepted_payment else {},
        )
        # Websites that are there already and get a plan by this order.
        self.freed: list[UUID] = []
        self._subscriptions: list[Values] = []
        self._websites: list[Values] = []
        self._cloudpods: list[Values] = []
        self._plans: list[Values] = []
        self._jobs: list[Values] = []
        self._items: list[Values] = []
        self._currencies: set[str] = set()

    async def fill(
        self,
        ask: Ask,
        products: Sequence[Offer],
        request: OrderRequest,
    ) -> None:
        """One line for each product; the request's domain is for the first website.

        Websites come first, so that an add-on finds its website wherever it stands.
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
            await self._refuse_domain(ask, domain)
        bare: list[tuple[UUID, Values | None]] = []
        for position, product in sites:
            website_id = uuid4()
            host = f"{_slug(product.code)}-{website_id.hex[:6]}.{self._platform_domain}"
            if domain and not bare:
                host = domain
            bare.append(
                (website_id, self._website(position, product, website_id, host))
            )
        for position, product in addons:
            if not bare:
                bare.append((await self._bare_website(ask, position), None))
            self._plan(position, product, *bare.pop(0))
        self._items.sort(key=lambda item: item["position"])

    def price(self) -> tuple[Cents, str]:
        """The whole order's amount and currency, from our catalogue alone."""
        if len(self._currencies) != 1:
            raise Invalid("items", "the items are sold in different currencies")
        return sum(item["amount"] for item in self._items), next(iter(self._currencies))

    def rows(self, order: Values) -> Mapping[type[Row], Sequence[Values]]:
        """All of them, by their table; `order` is what the others belong to."""
        found: Mapping[type[Row], list[Values]] = {
            Order: [order],
            Subscription: self._subscriptions,
            Website: self._websites,
            CloudPod: self._cloudpods,
            BackupPlan: self._plans,
            OrderItem: self._items,
            Job: [self._root, *self._jobs],
        }
        return {table: rows for table, rows in found.items() if rows}

    @property
    def hosts(self) -> list[str]:
        """The names that its websites want."""
        return [website["domain"] for website in self._websites]

    def placed(self, customer_id: UUID) -> Placed:
        """What it became, its lines in the order in which they were asked for."""
        kinds = {job["id"]: job["kind"] for job in self._jobs}
        return Placed(
            order_id=self.order_id,
            job_id=self._root["id"],
            customer_id=customer_id,
            lines=tuple(
                PlacedLine(
                    item["product_id"],
                    item["subscription_id"],
                    item["job_id"],
                    kinds[item["job_id"]],
                )
                for item in self._items
            ),
            repeated=False,
        )

    def _website(
        self, position: int, product: Offer, website_id: UUID, host: str
    ) -> Values:
        item, subscription = self._line(position, product, website_id)
        self._websites.append(
            new_row(
                id=website_id,
                subscription_id=subscription["id"],
                domain=host,
                site_kind=str(product.delivers.get("site", "static")),
                php_version=str(product.delivers.get("php", "")),
            )
        )
        return item

    def _cloudpod(self, position: int, product: Offer, ssh_keys: Sequence[str]) -> None:
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
        product: Offer,
        website_id: UUID,
        needs: Values | None,
    ) -> None:
        plan_id = uuid4()
        item, subscription = self._line(position, product, plan_id)
        item["needs_item_id"] = needs["id"] if needs else None
        self._plans.append(
            new_row(
                id=plan_id,
                subscription_id=subscription["id"],
                website_id=website_id,
                days=int(product.delivers.get("days", 30)),
            )
        )

    def _line(
        self, position: int, product: Offer, subject_id: UUID
    ) -> tuple[Values, Values]:
        cycle = str(product.billing_cycles[0]["cycle"])
        amount, currency = product.price(cycle) or (0, "")
        self._currencies.add(currency)
        subscription = new_row(
            product_id=product.id,
            product_type=product.type,
            billing_cycle=cycle,
        )
        # Each a little later than the one before: jobs are listed by their age.
        job = new_row(
            created_at=utc_now(),
            kind=DELIVERED_BY[product.delivers["kind"]],
            status=JobStatus.WAITING,
            subject_id=subject_id,
            parent_id=self._root["id"],
            order_id=self.order_id,
        )
        item = new_row(
            order_id=self.order_id,
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

    async def _refuse_domain(self, ask: Ask, domain: str) -> None:
        below = self._platform_domain
        if domain == below or domain.endswith(f".{below}"):
            raise Invalid("domain", f"hosts below {below} are given by us")
        if await ask(_TAKEN, {"host": domain}):
            raise Invalid("domain", f"{domain} has a website already")
        # A name below another customer's would take that part of it over.
        if await ask(_NEIGHBOUR, {"host": domain, **self._customer}):
            raise Invalid("domain", f"{domain} belongs to a name of another customer")

    async def _bare_website(self, ask: Ask, position: int) -> UUID:
        """The customer's only live website that no plan serves yet."""
        rows = await ask(_WITHOUT_PLAN, self._customer)
        served = {plan["website_id"] for plan in self._plans}
        found = [id for (id,) in rows if id not in served]
        if len(found) != 1:
            raise Invalid(
                f"items[{position}].code",
                "this add-on needs a website: order one with it, or have exactly one"
                f" live website without it (there are {len(found)})",
            )
        website_id: UUID = found[0]
        self.freed.append(website_id)
        return website_id


@lru_cache(maxsize=1024)
def _slug(code: str) -> str:
    return re.sub("[^a-z0-9]+", "-", code.lower()).strip("-")[:40] or "site"
