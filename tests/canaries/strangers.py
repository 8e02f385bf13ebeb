"""Secrets where they do not belong: in queries, headers, bodies."""

import json

from tests.api import test_stripe_webhook as stripe
from tests.canaries.scene import Scene

VISIBLE = "visible-to-everybody"


async def strangers_try(scene: Scene) -> None:
    """Secrets where they do not belong: in queries, headers, bodies."""
    planted, api = scene.planted, scene.api
    token = planted.new("token in a query")
    await api.get("/api/jobs", params={"token": token, "status": token})
    key = planted.new("key in a path")
    await api.get(f"/api/jobs/{key}")
    await api.get(f"/api/no-such-thing/{key}")
    for scheme in ("Bearer", "Basic"):
        header = f"{scheme} {planted.new(f'{scheme} credentials')}"
        await api.get("/api/jobs", headers={"Authorization": header})
    await api.get("/api/jobs", headers={"Cookie": f"a={planted.new('cookie')}"})
    # What a log tells of a call that it is sent with.
    await api.get("/api/health", headers={"X-Request-Id": VISIBLE})
    raw = json.dumps({"password": planted.new("password in an order")}).encode()
    forged = planted.new("wrong signature of an order")
    assert (await scene.ordered(raw, forged)).status_code == 401
    assert (await scene.ordered(raw)).status_code == 422
    event = stripe.event(
        data={
            "object": {
                "id": "pi_1",
                "object": "payment_intent",
                "client_secret": planted.new("client secret of a payment"),
            }
        }
    )
    secret = scene.settings.stripe_webhook_secret.get_secret_value()
    signed = stripe.header(event, secret=secret)
    assert (await stripe.send(api, event, signed)).status_code == 200
    forged = f"t=1,v1={planted.new('wrong signature of an event')}"
    assert (await stripe.send(api, event, forged)).status_code >= 400
    await api.post(
        "/api/mail/bounces",
        content=planted.new("body of a bounce").encode(),
        headers={"X-Webhook-Signature": "sha256=00"},
    )
