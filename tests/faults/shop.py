"""The people around one stack: the customer, the marketing site and the operator."""

import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx

from tests.dev.program import PATIENT
from tests.faults.stand import Stand

PRICE = 5498  # wp_growth 49.99 + daily_backups_30d 4.99
Items = Sequence[Mapping[str, str]]
ITEMS: Items = (
    {"code": "wp_growth", "type": "hosting"},
    {"code": "daily_backups_30d", "type": "addon"},
)
OPERATOR = "operator@migrahosting.example"
ORDER_CREATED = "/api/provisioning/webhooks/order-created"


@dataclass(frozen=True)
class Paid:
    """A payment that succeeded at Stripe."""

    email: str
    customer: str
    intent: str
    items: Items = ITEMS

    @property
    def body(self) -> dict[str, Any]:
        """As the documents show it."""
        return {
            "source": "migrahosting.com",
            "stripeCustomerId": self.customer,
            "customerEmail": self.email,
            "items": list(self.items),
        }


class Shop:
    """Speaks to the API and the simulators, and to nothing behind them."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self.http = httpx.Client(timeout=20, trust_env=False)
        self._token = ""

    def close(self) -> None:
        """Ends the connections."""
        self.http.close()

    # --- the customer and the marketing site ------------------------------------------

    def pay(self, amount: int = PRICE, items: Items = ITEMS) -> Paid:
        """At Stripe, for one order."""
        email = f"c{uuid4().hex[:12]}@example.com"
        made = self.simulator(
            "stripe",
            "POST",
            "payments",
            json={"amount": amount, "currency": "usd", "email": email},
        )
        customer, intent = made["customer"]["id"], made["payment_intent"]["id"]
        return Paid(email, customer, intent, items)

    def post(
        self, body: dict[str, Any], *, api: str | None = None, **headers: str
    ) -> httpx.Response:
        """The signed body, once. `idempotency_key` becomes the header of that name."""
        raw = json.dumps(body).encode()
        dev = self._stand.dev
        secret = dev["order_webhook_secret"].encode()
        signature = hmac.new(secret, raw, hashlib.sha256).hexdigest()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.post(
            f"{api or dev['api']}{ORDER_CREATED}",
            content=raw,
            headers={
                "Content-Type": "application/json",
                "X-Webhook-Signature": f"sha256={signature}",
                **named,
            },
        )

    def order(self, paid: Paid, *, within: float = PATIENT) -> str:
        """Posts until it is accepted, as a webhook's sender does; the order's id."""
        deadline = time.monotonic() + within
        said = "no answer"
        while time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                answer = self.post(paid.body, idempotency_key=paid.intent)
                if answer.status_code == 202:
                    return str(answer.json()["orderId"])
                assert answer.status_code >= 500, answer.text
                said = answer.text
            time.sleep(0.1)
        raise AssertionError(f"the order was not accepted within {within} s: {said}")

    def bought(self) -> tuple[Paid, str]:
        """Paid and ordered; not awaited."""
        paid = self.pay()
        return paid, self.order(paid)

    def page(self, domain: str) -> httpx.Response:
        """What a visitor of the domain sees."""
        port = self._stand.layout.ports["hosting_http"]
        return self.http.get(f"http://127.0.0.1:{port}/", headers={"Host": domain})

    # --- the operator -----------------------------------------------------------------

    def ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> httpx.Response:
        """One request as the administrator; logs in when needed."""
        given = headers or {}
        for _ in range(2):
            url = f"{self._stand.dev['api']}{path}"
            headers = {**given, "Authorization": f"Bearer {self._token or 'none'}"}
            answer = self.http.request(method, url, headers=headers, **kwargs)
            if answer.status_code != 401:
                return answer
            dev = self._stand.dev
            login = self.http.post(f"{dev['api']}/api/auth/login", json=dev["admin"])
            login.raise_for_status()
            self._token = str(login.json()["token"])
        return answer

    def read(self, path: str, *, within: float = PATIENT) -> Any:
        """A GET that outlives the restart of whatever serves it."""
        deadline = time.monotonic() + within
        while True:
            try:
                answer = self.ask("GET", path)
                answer.raise_for_status()
            except httpx.HTTPError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                return answer.json()

    def decide(self, job_id: str, act: str, **body: Any) -> httpx.Response:
        """retry, skip or abort."""
        return self.ask("POST", f"/api/jobs/{job_id}/{act}", json=body)

    def jobs(self, **query: str) -> list[dict[str, Any]]:
        """Every job that matches, over all pages."""
        words = "&".join(f"{name}={value}" for name, value in query.items())
        found: list[dict[str, Any]] = []
        page = 1
        while True:
            got = self.read(f"/api/jobs?{words}&pageSize=100&page={page}")
            found += got["items"]
            if len(found) >= got["total"] or not got["items"]:
                return found
            page += 1

    def completed(self, order_id: str, *, within: float = PATIENT) -> dict[str, Any]:
        """The order when it is completed; tells what it waits for if it is not."""
        deadline = time.monotonic() + within
        while True:
            order: dict[str, Any] = self.read(f"/api/orders/{order_id}")
            if order["state"] == "completed":
                return order
            assert time.monotonic() < deadline, (
                f"not completed within {within:.0f} s: {_told(order)}"
            )
            time.sleep(0.1)

    # --- simulators -------------------------------------------------------------------

    def simulator(self, name: str, method: str, path: str, **kwargs: Any) -> Any:
        """A control call."""
        url = f"{self._stand.dev['simulators'][name]}/_simulator/{path}"
        answer = self.http.request(method, url, **kwargs)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def fault(self, name: str, *scripts: dict[str, Any]) -> None:
        """Sets the fault scripts of one simulator."""
        self.simulator(name, "PUT", "faults", json=list(scripts))

    def fired(self, name: str) -> int:
        """How many faults of one simulator have happened."""
        return sum(one["fired"] for one in self.simulator(name, "GET", "faults"))

    def delays(self, name: str, **delays: float) -> None:
        """Seconds by operation; none: as quick as it can."""

        self.simulator(name, "PUT", "settings", json={"delays": delays})


def _told(order: dict[str, Any]) -> str:
    jobs = ", ".join(
        f"{job['type']} {job['state']} {job['step'] or ''} {job['message'] or ''}"
        for job in order["jobs"]
    )
    return f"order {order['id']} is {order['state']}; {jobs}"
