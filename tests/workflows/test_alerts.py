"""From a fault at a provider to the people who must know."""

import base64
import time

from pydantic import SecretStr
from standardwebhooks import Webhook
from temporalio.testing import WorkflowEnvironment

from models.database import Database
from tests.judge import golden
from tests.workers.conftest import receiving
from tests.workflows.operator import mails_about, retry
from tests.workflows.shop import buy, like_golden, waiting
from tests.world import Providers, world
from workers.alarms import pollers
from workflows.queues import ALL

SECRET = f"whsec_{base64.b64encode(bytes(range(32))).decode()}"


async def test_a_fault_reaches_the_operators_within_ten_seconds_by_mail_and_webhook(
    simulators: Providers, db: Database, temporal: WorkflowEnvironment
) -> None:
    target = temporal.client.service_client.config.target_host
    async with (
        receiving() as receiver,
        world(
            simulators,
            db,
            target,
            operator_webhook_url=receiver.url,
            operator_webhook_secret=SecretStr(SECRET),
        ) as here,
    ):
        await here.fault("hosting", {"kind": "reject", "op": "clpctl site:add*"})
        order = await buy(here)
        job = await waiting(here, order)
        parked_at, seen = job.updated_at.timestamp(), time.time()

        def about_the_job() -> list[dict[str, str]]:
            told = [Webhook(SECRET).verify(g.body, g.headers) for g in receiver.got]
            return [one for one in told if one["type"] == "job.needs_attention"]

        async def hooked() -> list[dict[str, str]]:
            return about_the_job()

        [mail] = await here.until(
            lambda: mails_about(here, job), lambda found: len(found) > 0
        )
        [event] = await here.until(hooked, lambda found: len(found) > 0)
        assert mail["at"] - parked_at < 10
        assert time.time() - parked_at < 10 + (seen - parked_at)
        assert event["data"]["jobId"] == str(job.id)
        assert event["data"]["cause"] == "provider_rejected"

        await retry(here, job)
        await like_golden(here, order)
        await golden(here, orders=1)
        assert len(await mails_about(here, job)) == 1
        assert len(about_the_job()) == 1

        async def events() -> set[str]:
            return {str(_event(got)["type"]) for got in receiver.got}

        await here.until(events, lambda types: "order.completed" in types)
        assert all([await pollers(here.client)(queue) is not None for queue in ALL])
        assert await pollers(here.client)("nobody-asks-this-one") is None

        async def subjects() -> list[str]:
            kept = simulators.mail.store.each("message")
            return sorted(one["subject"] for one in kept if order_mail(one))

        live, thanks = await here.until(subjects, lambda found: len(found) == 2)
        if live.startswith("Thank"):
            live, thanks = thanks, live
        assert live == f"{(await here.website_of(order)).domain} is live"
        assert thanks == f"Thank you for your order {str(order.id)[:8]}"


def order_mail(mail: dict[str, object]) -> bool:
    return "operator@example.net" not in mail["to"]  # type: ignore[operator]


def _event(got: object) -> dict[str, str]:
    return Webhook(SECRET).verify(got.body, got.headers)  # type: ignore[attr-defined,no-any-return]
