"""One paid order becomes a live website, step by step."""

import json
import time
from typing import Any, Final

from rich.console import Console

from workers.demo.shop import Failed, Shop
from workers.demo.timeline import follow_order, ms

_ITEMS: Final = [
    {"code": "wp_growth", "type": "hosting"},
    {"code": "daily_backups_30d", "type": "addon"},
]


def play(shop: Shop, console: Console) -> bool:
    """Pays, orders, watches; true once a visitor sees the website. Raises `Failed`."""
    shop.log_in()
    began, order = buy(shop, console, _ITEMS)
    follow_order(shop, console, order["orderId"])
    address = _see(shop, _website(shop, order))
    console.print(f"\n[green]✓[/] the website answers over HTTP [dim]{ms(began)}[/]")
    console.print(f"[green]✓[/] welcome mail: “{_mail(shop, order)['subject']}”")
    for label, link in (
        ("Website", address),
        ("API docs", f"{shop.dev['api']}/docs"),
        ("This run", shop.run_of(f"fulfil_order:{order['jobId']}")),
        ("Mail", shop.dev["simulators"]["mail"]),
    ):
        console.print(f"  [dim]{label:<9}[/] {link}", soft_wrap=True)
    return True


def buy(
    shop: Shop, console: Console, items: list[dict[str, str]]
) -> tuple[float, dict[str, Any]]:
    """When the order was sent, and what was answered, with who pays: `email`, `payer`
    (at Stripe)."""
    price = shop.price(items)
    customer, email = shop.pay(price)
    console.print(
        f"[green]✓[/] {email} paid [bold]{price / 100:.2f} USD[/] [dim]{customer}[/]",
        soft_wrap=True,
    )
    began = time.monotonic()
    order = shop.order(customer, email, items)
    console.print(
        f"[green]✓[/] signed order accepted [dim]{ms(began)}  {order['orderId']}[/]",
        soft_wrap=True,
    )
    return began, order | {"email": email, "payer": customer}


def _website(shop: Shop, order: dict[str, Any]) -> dict[str, Any]:
    customer = order["customerId"]
    found = shop.api("GET", f"/api/customers/{customer}/websites")["items"]
    if not found or found[0]["status"] != "active":
        raise Failed("go live", f"no active website among {len(found)}")
    website: dict[str, Any] = found[0]
    return website


def _see(shop: Shop, website: dict[str, Any]) -> str:
    config = json.loads((shop.stack.data_dir / "simulators.json").read_text())
    port = config["hosting"]["http_port"]
    answer = shop.http.get(
        f"http://127.0.0.1:{port}/", headers={"Host": website["domain"]}
    )
    if answer.status_code != 200 or website["id"] not in answer.text:
        raise Failed("see the website", f"it answers {answer.status_code}")
    return f"http://{website['domain']}:{port}/"


def _mail(shop: Shop, order: dict[str, Any]) -> dict[str, Any]:
    url = f"{shop.dev['simulators']['mail']}/messages"
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = shop.http.get(url, params={"to": order["email"]}).json()
        if found:  # newest first; the later one is about the live website
            return dict(found[-1])
        time.sleep(0.05)
    raise Failed("receive the welcome mail", "none came within 10 s")
