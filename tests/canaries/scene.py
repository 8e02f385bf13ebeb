"""Where the secrets go in: an API and a worker in one process, each answer kept."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import httpx

from api.settings import ApiSettings
from tests.api import shop
from tests.canaries.planted import Planted
from tests.logged import Lines
from tests.workers.conftest import Received
from tests.world import World


@dataclass
class Scene:
    """A world, its API and all that they say. `shown` makes the calls whose answers
    show a secret once; those of `api` are kept."""

    planted: Planted
    here: World
    settings: ApiSettings
    api: httpx.AsyncClient
    shown: httpx.AsyncClient
    lines: Lines
    hooks: Sequence[Received]
    answers: list[str] = field(default_factory=list)
    orders: list[UUID] = field(default_factory=list)

    async def keep(self, answer: httpx.Response) -> None:
        await answer.aread()
        self.answers.append(f"{answer.status_code}\n{answer.headers}\n{answer.text}")

    async def ordered(self, raw: bytes, signature: str | None = None) -> httpx.Response:
        """The marketing site's call, signed well unless told otherwise."""
        secret = self.settings.order_webhook_secret.get_secret_value()
        signed = {"X-Webhook-Signature": signature or shop.signature(raw, secret)}
        return await self.api.post(shop.ORDER_CREATED, content=raw, headers=signed)
