"""Customer, marketing site and operator, as one program at the stack's doors."""

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import httpx
import psycopg
from rich.console import Console

from workers.dev.running import RunningStack

Item = Mapping[str, str]
_ORDER_CREATED: Final = "/api/provisioning/webhooks/order-created"


class Failed(Exception):
    """The step that failed, and why."""

    def __init__(self, step: str, why: str) -> None:
        super().__init__(f"{step}: {why}")
        self.step, self.why = step, why


class Shop:
    """Speaks to the API and to Stripe, and to nothing behind them. Raises `Failed`."""

    def __init__(self, stack: RunningStack, http: httpx.Client) -> None:
        self.stack, self.http = stack, http
        self.dev: Mapping[str, Any] = stack.dev
        self._token = ""

    def log_in(self) -> None:
        """As the stack's own admin."""
        admin = self.dev["admin"]
        answer = self.api("POST", "/api/auth/login", "log in", json=admin)
        self._token = str(answer["token"])

    def price(self, items: Sequence[Item]) -> int:
        """Of all of them for the first period, in cents."""
        listed = self.api("GET", "/api/products", "read the catalogue")["items"]
        cents = {
            product["code"]: round(float(product["billingCycles"][0]["price"]) * 100)
            for product in listed
        }
        for item in items:
            if item["code"] not in cents:
                raise Failed("read the catalogue", f"it has no product {item['code']}")
        return sum(cents[item["code"]] for item in items)

    def pay(self, amount: int) -> tuple[str, str]:
        """(Stripe's customer, e-mail address), paid as a checkout does it."""
        email = f"ada+{int(time.time())}@example.com"
        customer = self._at_stripe("POST", "customers", data={"email": email})["id"]
        paid = self._at_stripe(
            "POST",
            "payment_intents",
            data={
                "amount": str(amount),
                "currency": "usd",
                "customer": customer,
                "payment_method": "pm_card_visa",
                "payment_method_types[]": "card",
                "confirm": "true",
            },
        )
        if paid["status"] != "succeeded":
            raise Failed("pay at Stripe", f"the payment is {paid['status']}")
        return str(customer), email

    def charged(self, customer: str) -> int:
        """What Stripe has taken from the customer, in cents."""
        found = self._at_stripe("GET", "payment_intents", params={"customer": customer})
        return sum(int(one["amount_received"]) for one in found["data"])

    def order(self, customer: str, email: str, items: Sequence[Item]) -> dict[str, Any]:
        """Signed, as the marketing site does, with the documented body."""
        body = json.dumps(
            {
                "source": "migrahosting.com",
                "stripeCustomerId": customer,
                "customerEmail": email,
                "items": list(items),
            }
        ).encode()
        secret = self.dev["order_webhook_secret"].encode()
        signature = hmac.new(secret, body, hashlib.sha256).hexdigest()
        answer = self.http.post(
            f"{self.dev['api']}{_ORDER_CREATED}",
            content=body,
            headers={
                "Content-Type": "application/json",
                "X-Webhook-Signature": f"sha256={signature}",
            },
        )
        if answer.status_code != 202:
            raise Failed("place the order", f"{answer.status_code} {answer.text[:300]}")
        accepted: dict[str, Any] = answer.json()
        return accepted

    def ask(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        """Whatever the API answers to the operator."""
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        url = f"{self.dev['api']}{path}"
        return self.http.request(method, url, headers=headers, **kwargs)

    def api(
        self, method: str, path: str, what: str = "", **kwargs: Any
    ) -> dict[str, Any]:
        """A good answer's content."""
        answer = self.ask(method, path, **kwargs)
        if not answer.is_success:
            raise Failed(what or path, f"{answer.status_code} {answer.text[:300]}")
        content: dict[str, Any] = answer.json()
        return content

    def job(self, job_id: str) -> dict[str, Any]:
        """The job with its timeline."""
        path = f"/api/jobs/{job_id}"
        return self.api("GET", path) | {
            "steps": self.api("GET", f"{path}/steps")["items"]
        }

    def run_of(self, run: str) -> str:
        """The run's page in the Temporal UI."""
        return f"{self.dev['temporal_ui']}/namespaces/default/workflows/{run}"

    def _at_stripe(self, method: str, kind: str, **given: Any) -> dict[str, Any]:
        answer = self.http.request(
            method,
            f"{self.dev['simulators']['stripe']}/v1/{kind}",
            headers={"Authorization": f"Bearer {self.dev['stripe_api_key']}"},
            **given,
        )
        if not answer.is_success:
            raise Failed(f"{kind} at Stripe", answer.text[:300])
        made: dict[str, Any] = answer.json()
        return made


def shown(
    play: Callable[[Shop, Console], bool], stack: RunningStack, console: Console
) -> bool:
    """Whether it went as promised; if not, what failed is told."""
    with httpx.Client(timeout=10, trust_env=False) as http:
        try:
            return play(Shop(stack, http), console)
        except Failed as failed:
            console.print(f"[red]✗ {failed.step}:[/] {failed.why}")
        except (httpx.HTTPError, OSError, psycopg.Error) as error:
            console.print(f"[red]✗ the stack does not answer:[/] {error}")
    console.print(f"  The logs are in {stack.data_dir / 'logs'}")
    return False
