"""What `mpanel demo` shows: one paid order becoming a live website, step by step."""

import hashlib
import hmac
import json
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import httpx
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from workers.dev.running import RunningStack

_WITHIN = 60.0
_SIGNS = {
    "succeeded": "[green]✓[/]",
    "running": "[cyan]●[/]",
    "retrying": "[yellow]↻[/]",
    "parked": "[red]![/]",
    "skipped": "[dim]→[/]",
    "cancelled": "[dim]x[/]",
}
_WORDS = {
    "fulfil_order": "Order",
    "website_provision": "Website",
    "backups_enable": "Daily backups",
}
_ITEMS = [
    {"code": "wp_growth", "type": "hosting"},
    {"code": "daily_backups_30d", "type": "addon"},
]


class Failed(Exception):
    """The step that failed, and why."""

    def __init__(self, step: str, why: str) -> None:
        super().__init__(f"{step}: {why}")
        self.step, self.why = step, why


def follow_one_order(stack: RunningStack, console: Console) -> bool:
    """Pays, orders, watches. False, and the step that failed is told, if it is not
    live in the end."""
    with httpx.Client(timeout=10, trust_env=False) as http:
        demo = _Demo(stack, http)
        try:
            demo.play(console)
        except Failed as failed:
            console.print(f"[red]✗ {failed.step}:[/] {failed.why}")
            console.print(f"  The logs are in {stack.data_dir / 'logs'}")
            return False
        except httpx.HTTPError as error:
            console.print(f"[red]✗ the stack does not answer:[/] {error}")
            return False
    return True


class _Demo:
    def __init__(self, stack: RunningStack, http: httpx.Client) -> None:
        self._stack, self._http = stack, http
        self._dev: Mapping[str, Any] = stack.dev
        self._token = ""

    def play(self, console: Console) -> None:
        self._log_in()
        price = sum(self._price(item["code"]) for item in _ITEMS)
        customer, email = self._pay(price)
        console.print(
            f"[green]✓[/] {email} paid [bold]{price / 100:.2f} USD[/] at Stripe"
            f" [dim]{customer}[/]",
            soft_wrap=True,
        )
        began = time.monotonic()
        order = self._order(customer, email)
        console.print(
            f"[green]✓[/] signed order accepted"
            f" [dim]{_ms(began)}  {order['orderId']}[/]",
            soft_wrap=True,
        )
        self._watch(console, order["orderId"])
        website = self._website(order)
        address = self._see(website)
        console.print(
            f"\n[green]✓[/] the website answers over HTTP [dim]{_ms(began)}[/]"
        )
        mail = self._mail(email)
        console.print(f"[green]✓[/] welcome mail: “{mail['subject']}”")
        self._links(console, order, address)

    # --- acts -------------------------------------------------------------------------

    def _log_in(self) -> None:
        admin = self._dev["admin"]
        answer = self._api("POST", "/api/auth/login", "log in", json=admin)
        self._token = str(answer["token"])

    def _price(self, code: str) -> int:
        products = self._api("GET", "/api/products", "read the catalogue")["items"]
        for product in products:
            if product["code"] == code:
                return round(float(product["billingCycles"][0]["price"]) * 100)
        raise Failed("read the catalogue", f"it has no product {code}")

    def _pay(self, amount: int) -> tuple[str, str]:
        """As a checkout does, by Stripe's own API."""
        email = f"ada+{int(time.time())}@example.com"
        customer = self._stripe("customers", {"email": email})["id"]
        paid = self._stripe(
            "payment_intents",
            {
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

    def _stripe(self, kind: str, form: dict[str, str]) -> dict[str, Any]:
        answer = self._http.post(
            f"{self._dev['simulators']['stripe']}/v1/{kind}",
            data=form,
            headers={"Authorization": f"Bearer {self._dev['stripe_api_key']}"},
        )
        if not answer.is_success:
            raise Failed("pay at Stripe", answer.text[:300])
        made: dict[str, Any] = answer.json()
        return made

    def _order(self, customer: str, email: str) -> dict[str, Any]:
        """As the marketing site does, with the documented body."""
        body = json.dumps(
            {
                "source": "migrahosting.com",
                "stripeCustomerId": customer,
                "customerEmail": email,
                "items": _ITEMS,
            }
        ).encode()
        secret = self._dev["order_webhook_secret"].encode()
        signature = hmac.new(secret, body, hashlib.sha256).hexdigest()
        answer = self._http.post(
            f"{self._dev['api']}/api/provisioning/webhooks/order-created",
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

    def _watch(self, console: Console, order_id: str) -> None:
        with Live(console=console, refresh_per_second=20, transient=False) as live:
            for order, jobs in self._states(order_id):
                live.update(_picture(order, jobs), refresh=True)
        root = next(job for job in jobs if job["type"] == "fulfil_order")
        if order["state"] != "completed":
            stuck = next((j for j in jobs if j["status"] == "needs_attention"), root)
            why = stuck.get("message") or f"the order is {order['state']}"
            raise Failed(str(stuck.get("step") or stuck["type"]), str(why))

    def _states(
        self, order_id: str
    ) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
        deadline = time.monotonic() + _WITHIN
        over = {"completed", "failed", "cancelled", "expired", "partially_fulfilled"}
        while True:
            order = self._api("GET", f"/api/orders/{order_id}", "read the order")
            jobs = [
                job
                | {"steps": self._api("GET", f"/api/jobs/{job['id']}/steps")["items"]}
                for job in (
                    self._api("GET", f"/api/jobs/{one['id']}") for one in order["jobs"]
                )
            ]
            yield order, jobs
            stuck = any(job["status"] == "needs_attention" for job in jobs)
            if order["state"] in over or stuck or time.monotonic() > deadline:
                return
            time.sleep(0.05)

    def _website(self, order: dict[str, Any]) -> dict[str, Any]:
        customer = order["customerId"]
        found = self._api("GET", f"/api/customers/{customer}/websites")["items"]
        if not found or found[0]["status"] != "active":
            raise Failed("go live", f"no active website among {len(found)}")
        website: dict[str, Any] = found[0]
        return website

    def _see(self, website: dict[str, Any]) -> str:
        config = json.loads((self._stack.data_dir / "simulators.json").read_text())
        port = config["hosting"]["http_port"]
        answer = self._http.get(
            f"http://127.0.0.1:{port}/", headers={"Host": website["domain"]}
        )
        if answer.status_code != 200 or website["id"] not in answer.text:
            raise Failed("see the website", f"it answers {answer.status_code}")
        return f"http://{website['domain']}:{port}/"

    def _mail(self, email: str) -> dict[str, Any]:
        url = f"{self._dev['simulators']['mail']}/messages"
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            found = self._http.get(url, params={"to": email}).json()
            if found:  # newest first; the later one is about the live website
                return dict(found[-1])
            time.sleep(0.05)
        raise Failed("receive the welcome mail", "none came within 10 s")

    def _links(self, console: Console, order: dict[str, Any], address: str) -> None:
        run = f"fulfil_order:{order['jobId']}"
        for label, link in (
            ("Website", address),
            ("API docs", f"{self._dev['api']}/docs"),
            (
                "This run",
                f"{self._dev['temporal_ui']}/namespaces/default/workflows/{run}",
            ),
            ("Mail", self._dev["simulators"]["mail"]),
        ):
            console.print(f"  [dim]{label:<9}[/] {link}", soft_wrap=True)

    def _api(
        self, method: str, path: str, what: str = "", **kwargs: Any
    ) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        url = f"{self._dev['api']}{path}"
        answer = self._http.request(method, url, headers=headers, **kwargs)
        if not answer.is_success:
            raise Failed(what or path, f"{answer.status_code} {answer.text[:300]}")
        content: dict[str, Any] = answer.json()
        return content


def _picture(order: dict[str, Any], jobs: list[dict[str, Any]]) -> Group:
    lines = Table.grid(padding=(0, 1))
    for job in jobs:
        title = _WORDS.get(job["type"], job["type"])
        lines.add_row("", Text(title, style="bold"), Text(job["status"], style="dim"))
        for step in job["steps"]:
            lines.add_row(
                _SIGNS.get(step["status"], " "),
                Text("  " + step["name"].replace("_", " ")),
                Text(_told(step), style="dim"),
            )
    return Group(lines, Text(f"order {order['state'].replace('_', ' ')}", style="bold"))


def _told(step: dict[str, Any]) -> str:
    words = []
    if step.get("endedAt") and step.get("startedAt"):
        began, ended = (
            datetime.fromisoformat(step[key]) for key in ("startedAt", "endedAt")
        )
        words.append(f"{(ended - began).total_seconds() * 1000:.0f} ms")
    if (step.get("tries") or 1) > 1:
        words.append(f"{step['tries']} tries")
    if step["status"] in ("retrying", "parked") and step.get("message"):
        words.append(str(step["message"]))
    return "  ".join(words)


def _ms(began: float) -> str:
    return f"{(time.monotonic() - began) * 1000:.0f} ms"
