"""The web process: every surface in one application."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from temporalio.client import Client
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from api import errors
from api.auth.tokens import Signer
from api.console import inbox as console_inbox
from api.console import live as console_live
from api.console import login as console_login
from api.console import second_factor as console_second_factor
from api.console.pages import static_files
from api.deps import entry
from api.edge import BodyLimit, Edge
from api.feed import Feed
from api.mpanel import (
    alert_rules,
    alerts,
    api_keys,
    audit,
    auth,
    backups,
    cloudpod_drift,
    cloudpod_metrics,
    cloudpod_saves,
    cloudpods,
    customers,
    dashboard,
    decisions,
    health,
    inbox,
    job_events,
    jobs,
    mails,
    orders,
    payments,
    products,
    second_factors,
    servers,
    sessions,
    status,
    subscriptions,
    tenants,
    users,
    websites,
)
from api.parts import Parts
from api.refusals import Refusals
from api.services import starting
from api.settings import ApiSettings
from api.webhooks import bounces as bounce_webhook
from api.webhooks import orders as order_webhook
from api.webhooks import stripe as stripe_webhook
from models import metrics
from models.database import Database
from models.direct import Direct
from models.vault import Vault
from workflows.engine.plugin import engine_plugin

# Those that are called the most come first: they are tried in turn.
ROUTERS: Final[tuple[APIRouter, ...]] = (
    jobs.polled,
    order_webhook.router,
    status.router,
    dashboard.router,
    auth.router,
    sessions.router,
    second_factors.router,
    products.router,
    servers.router,
    customers.router,
    subscriptions.router,
    orders.router,
    jobs.router,
    job_events.router,
    decisions.router,
    inbox.router,
    websites.router,
    backups.router,
    cloudpod_drift.router,
    cloudpods.router,
    cloudpod_saves.router,
    cloudpod_metrics.router,
    alerts.router,
    alert_rules.router,
    mails.router,
    payments.router,
    audit.router,
    api_keys.router,
    users.router,
    users.public,
    tenants.router,
    stripe_webhook.router,
    bounce_webhook.router,
)

# Pages for people, under /console.
PAGES: Final[tuple[APIRouter, ...]] = (
    console_login.router,
    console_second_factor.router,
    console_live.router,
    console_inbox.router,
)


def create_app(settings: ApiSettings) -> FastAPI:
    """The application. Raises `SettingsRefused` if it is not told where Temporal is.

    It serves without Temporal: its client connects when it is needed.
    """
    address = settings.temporal

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        db = Database(settings.database_url.get_secret_value())
        direct = Direct(settings.database_url.get_secret_value(), durable=False)
        durable = Direct(settings.database_url.get_secret_value(), durable=True)
        refusals = Refusals(db)
        feed = Feed(db.url)
        app.state.parts = Parts(
            settings=settings,
            db=db,
            direct=direct,
            durable=durable,
            vault=Vault.parse(settings.encryption_keys.get_secret_value()),
            temporal=await Client.connect(
                **address, lazy=True, plugins=[engine_plugin()]
            ),
            signer=Signer(settings.secret_key.get_secret_value()),
            refusals=refusals,
            feed=feed,
        )
        listening = asyncio.create_task(feed.run())
        metrics.count_commits()
        try:
            async with metrics.served(settings, db):
                yield
        finally:
            feed.end()
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            await starting.settled()
            await refusals.close()
            await direct.close()
            await durable.close()
            await db.close()

    # The documentation asks no foreign server for its scripts.
    app = FastAPIOffline(
        redoc_url=None,
        title="mPanel",
        summary="Orders become running services, durably.",
        lifespan=lifespan,
        generate_unique_id_function=_operation_id,
    )
    errors.install(app)
    app.add_middleware(BodyLimit)
    app.add_middleware(Edge)
    # Outermost: whatever counts addresses sees the caller's, or the proxy's own.
    if settings.trusted_proxies:
        app.add_middleware(
            ProxyHeadersMiddleware, trusted_hosts=settings.trusted_proxies
        )
    app.include_router(health.router, prefix="/api")
    for router in ROUTERS:
        app.include_router(router, prefix="/api", dependencies=[Depends(entry)])
    for router in PAGES:
        app.include_router(router, prefix="/console")
    app.mount("/console/static", static_files())
    return app


def _operation_id(route: APIRoute) -> str:
    """`jobs.retry` rather than the path spelt out."""
    return f"{route.endpoint.__module__.rpartition('.')[2]}.{route.name}"
