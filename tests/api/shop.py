"""What a marketing site does: sign an order's body and post it."""

import hashlib
import hmac
import json
from typing import Any

import httpx
from sqlalchemy import text

from models.database import Database
from models.seed import seed_catalogue
from models.tenants import MIGRAHOSTING

ORDER_SECRET = "shared-with-the-marketing-site"
ORDER_CREATED = "/api/provisioning/webhooks/order-created"
HOSTING = {"code": "wp_growth", "type": "hosting"}
BACKUPS = {"code": "daily_backups_30d", "type": "addon"}


async def stock(db: Database) -> None:
    """The shop has its catalogue."""
    async with db.platform() as session:
        await seed_catalogue(session, MIGRAHOSTING)
        await session.commit()


def order(**changes: Any) -> dict[str, Any]:
    """The body of the documents; a change to None leaves the field out."""
    body = {
        "source": "migrahosting.com",
        "stripeCustomerId": "cus_123",
        "customerEmail": "client@example.com",
        "items": [HOSTING, BACKUPS],
        **changes,
    }
    return {name: value for name, value in body.items() if value is not None}


def signature(raw: bytes, secret: str = ORDER_SECRET) -> str:
    """As `X-Webhook-Signature` carries it."""
    return f"sha256={hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()}"


async def buy(
    api: httpx.AsyncClient, body: dict[str, Any], **headers: str
) -> httpx.Response:
    """Posts the signed body. `idempotency_key` becomes the header of that name."""
    raw = json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await api.post(
        ORDER_CREATED,
        content=raw,
        headers={"X-Webhook-Signature": signature(raw), **named},
    )


async def count(db: Database, table: str) -> int:
    """How many rows a table has, whoever's they are."""
    async with db.platform() as session:
        connection = await session.connection()
        found = await connection.execute(text(f"select count(*) from {table}"))
        return int(found.scalar_one())


async def nothing_stored(db: Database) -> bool:
    """Whether no order has left a trace."""
    tables = ("orders", "customers", "order_keys", "jobs", "subscriptions", "websites")
    return not any([await count(db, table) for table in tables])
