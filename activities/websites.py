"""Websites: a place on a server, the site there, its starter page, the probe."""

import secrets
from collections.abc import Mapping
from html import escape
from typing import Literal, Protocol

from sqlalchemy import func
from sqlmodel import col, select
from temporalio import activity

from activities.calls import StepCall
from activities.effects import EffectLedger
from activities.errors import GiveUp, ProviderConflict, ProviderDown, ProviderRejected
from activities.store import Store, finish, placed
from models.base import utc_now
from models.database import Session
from models.orders import Order
from models.queries import servers, services, websites
from models.queries.outbox import tell_customer
from models.queries.servers import DEGRADED, OFFLINE
from models.servers import HOSTING, Server
from models.states import Reason, ServiceStatus
from models.subscriptions import Subscription
from models.websites import Website, is_ours

PROVIDER = "cloudpanel"


class FoundSite(Protocol):
    """A site of that name; `site_user` tells whose it is."""

    @property
    def site_user(self) -> str: ...


class HostingServer(Protocol):
    """One CloudPanel server."""

    async def find_site(self, domain: str) -> FoundSite | None: ...

    async def create_site(
        self,
        *,
        domain: str,
        site_user: str,
        password: str,
        kind: Literal["static", "php"],
        php_version: str = "8.4",
    ) -> None: ...

    async def delete_site(self, domain: str, *, site_user: str) -> None: ...

    async def deploy(
        self, *, site_user: str, domain: str, files: Mapping[str, bytes]
    ) -> None: ...

    async def suspend(self, *, site_user: str, domain: str, page: bytes) -> None: ...

    async def resume(self, *, site_user: str, domain: str) -> None: ...


class HostingServers(Protocol):
    """The client of each server, made once."""

    def of(self, server: Server) -> HostingServer: ...


class Page(Protocol):
    @property
    def status(self) -> int: ...

    @property
    def body(self) -> bytes: ...


class Probe(Protocol):
    """How a visitor sees the site."""

    async def page(self, address: str, *, host_header: str) -> Page: ...


class WebsiteActivities:
    """`subject_id` of every call is the website."""

    def __init__(
        self, store: Store, effects: EffectLedger, servers: HostingServers, probe: Probe
    ) -> None:
        self._store, self._effects = store, effects
        self._servers, self._probe = servers, probe

    @activity.defn
    async def place_website(self, call: StepCall) -> None:
        """Gives the website its name and room on a server, both of which one gets at a
        time. Repeated, it keeps the place it has."""
        placing = self._store.placing(HOSTING)
        async with placing, self._store.step(call, platform=True) as (session, _):
            website = await session.get_one(Website, call.subject_id)
            if website.status == ServiceStatus.ACTIVE:
                await session.commit()
                return
            if website.server_id is None:
                server = await _roomiest(session)
                await _claim_name(session, website)
                website.begin(server.id)
            else:
                website.begin(website.server_id)
            subscription = await session.get(Subscription, website.subscription_id)
            if subscription and subscription.status == ServiceStatus.FAILED:
                subscription.status = ServiceStatus.PENDING
            await session.commit()

    @activity.defn
    async def release_website(self, call: StepCall) -> None:
        """The undo of the place: the website and its subscription have failed."""
        async with self._store.step(call) as (session, job):
            await services.fail_subject(session, job)
            await session.commit()

    @activity.defn
    async def create_site(self, call: StepCall) -> None:
        """A site named and owned by our ids; one that is there already is adopted."""
        async with self._store.step(call, platform=True) as (session, _):
            website, server = await placed(session, call.subject_id)
            effect = await self._effects.intend(
                session,
                call,
                owner_id=website.id,
                provider=PROVIDER,
                kind="site",
                reference=str(website.id),
                account=server.name,
                secret=secrets.token_urlsafe(24).encode(),
                facts={"domain": website.domain, "server_id": str(server.id)},
            )
            await session.commit()
        hosting = self._servers.of(server)
        found = await hosting.find_site(website.domain)
        if found is None:
            await hosting.create_site(
                domain=website.domain,
                site_user=website.site_user,
                password=self._effects.secret(effect).decode(),
                kind="static" if website.site_kind == "static" else "php",
                php_version=website.php_version,
            )
        elif found.site_user != website.site_user:
            ours = is_ours(found.site_user)
            who = "another website of ours" if ours else "who is not ours"
            raise ProviderConflict(
                PROVIDER,
                f"{website.domain} is on {server.name} already, as a site of"
                f" {found.site_user}, {who}",
                code="site_ours" if ours else "site_exists",
            )
        await self._effects.present(effect, remote_id=website.site_user)

    @activity.defn
    async def delete_site(self, call: StepCall) -> None:
        """Takes the site away and reads back that it is gone; absent is success."""
        effect = await self._effects.find(
            call, provider=PROVIDER, kind="site", reference=str(call.subject_id)
        )
        if effect is None:
            return
        website, server = await self._store.placed(call)
        hosting = self._servers.of(server)
        await hosting.delete_site(website.domain, site_user=website.site_user)
        found = await hosting.find_site(website.domain)
        if found is not None and found.site_user == website.site_user:
            raise ProviderDown(PROVIDER, f"{website.domain} is still there")
        await self._effects.removed(effect)

    @activity.defn
    async def deploy_starter(self, call: StepCall) -> None:
        """Puts the starter page there; files are replaced whole."""
        website, server = await self._store.placed(call)
        name = "index.html" if website.site_kind == "static" else "index.php"
        await self._servers.of(server).deploy(
            site_user=website.site_user,
            domain=website.domain,
            files={name: starter_page(website)},
        )

    @activity.defn
    async def go_live(self, call: StepCall) -> None:
        """Looks at the site from outside, and only then calls it active."""
        found = await self._store.placed_unless_done(call)
        if found is None:
            return
        website, server = found
        await self._see(website, server)
        async with self._store.step(call) as (session, job):
            website = await session.get_one(Website, call.subject_id)
            website.activate(utc_now())
            await services.activate_subscription(session, website.subscription_id)
            if job.order_id is not None:
                order = await session.get_one(Order, job.order_id)
                await tell_customer(session, order, "website_live", about=website.id)
            finish(job)
            await session.commit()

    async def _see(self, website: Website, server: Server) -> None:
        page = await self._probe.page(server.http_address, host_header=website.domain)
        if page.status >= 500:
            raise ProviderDown("web", f"{website.domain} answers {page.status}")
        if page.status != 200 or marker(website).encode() not in page.body:
            raise ProviderRejected(
                "web",
                f"{website.domain} answers {page.status} without our marker on"
                f" {server.name}; put the starter page back, then retry",
                code="marker_missing",
            )

    @activity.defn
    async def begin_removal(self, call: StepCall) -> None:
        """The website is on its way out; nobody else works on it from here on."""
        async with self._store.step(call) as (session, _):
            website = await session.get_one(Website, call.subject_id)
            if website.status != ServiceStatus.TERMINATED:
                website.terminate()
            await session.commit()

    @activity.defn
    async def end_removal(self, call: StepCall) -> None:
        """Nothing of it is left: the website and its services are terminated."""
        async with self._store.step(call) as (session, job):
            website = await session.get_one(Website, call.subject_id)
            website.gone()
            subscription = await session.get(Subscription, website.subscription_id)
            # One that never lived was nothing that an active subscription delivered.
            lived = website.live_at is not None
            if subscription is not None and (
                lived or subscription.status != ServiceStatus.ACTIVE
            ):
                subscription.terminate()
            plan = await services.plan_of(session, website.id)
            if plan is not None:
                plan.terminate()
                add_on = await session.get(Subscription, plan.subscription_id)
                if add_on is not None:
                    add_on.terminate()
            finish(job)
            await session.commit()

    @activity.defn
    async def suspend_site(self, call: StepCall) -> None:
        """Moves the site aside and shows a notice; nothing is deleted."""
        found = await self._store.placed_unless_done(call)
        if found is None:
            return
        website, server = found
        await self._servers.of(server).suspend(
            site_user=website.site_user,
            domain=website.domain,
            page=_SUSPENDED.encode(),
        )
        async with self._store.step(call) as (session, job):
            website = await session.get_one(Website, call.subject_id)
            website.suspend()
            finish(job)
            await session.commit()

    @activity.defn
    async def resume_site(self, call: StepCall) -> None:
        """Moves the site back into its place."""
        found = await self._store.placed_unless_done(call)
        if found is None:
            return
        website, server = found
        await self._servers.of(server).resume(
            site_user=website.site_user, domain=website.domain
        )
        async with self._store.step(call) as (session, job):
            website = await session.get_one(Website, call.subject_id)
            website.activate(utc_now())
            finish(job)
            await session.commit()


def marker(website: Website) -> str:
    """What the probe looks for in the page."""
    return f'<meta name="mpanel-website" content="{website.id}">'


def starter_page(website: Website) -> bytes:
    """The page of a new site: title, domain and website id."""
    domain = escape(website.domain)
    return (
        "<!doctype html>\n"
        '<html lang="en"><head><meta charset="utf-8">\n'
        f"<title>{domain} is live</title>\n"
        f"{marker(website)}\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<style>body{font:18px/1.6 system-ui,sans-serif;max-width:34rem;"
        "margin:20vh auto;padding:0 1.5rem;color:#1d2733}"
        "h1{font-size:2rem;margin:0}small{color:#667}</style></head>\n"
        f"<body><h1>{domain}</h1><p>Your website is ready. Upload your pages to"
        f" replace this one.</p><small>{website.id}</small></body></html>\n"
    ).encode()


_SUSPENDED = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>Suspended</title>'
    "<p>This website is suspended. Its owner knows how to bring it back.</p></html>\n"
)


async def _claim_name(session: Session, website: Website) -> None:
    """Whoever is placed first has it; unpaid orders for one name may be many."""
    if await websites.in_the_way(session, website) is not None:
        raise GiveUp(
            Reason.CONFLICT,
            f"{website.domain} belongs to another website of ours",
            code="name_taken",
        )


async def _roomiest(session: Session) -> Server:
    """The hosting server with most room; one whose disk is nearly full comes late, and
    one that does not answer last: it may be back when the site is made. Others wait
    until the transaction ends."""
    await servers.hold(session, HOSTING)
    used = (
        select(func.count())
        .select_from(Website)
        .where(
            Website.server_id == Server.id,
            col(Website.status).in_(services.LIVING),
        )
        .scalar_subquery()
    )
    found = await session.exec(
        select(Server, used)
        .where(Server.role == HOSTING, ~col(Server.draining))
        .order_by(
            col(Server.status) == OFFLINE,
            col(Server.status) == DEGRADED,
            (col(Server.capacity) - used).desc(),
            col(Server.name),
        )
    )
    for server, sites in found.all():
        if sites < server.capacity:
            return server
    raise GiveUp(Reason.NO_CAPACITY, "no hosting server has room; add one, then retry")
