"""What a day left behind, by the providers' ledgers, our rows and every website."""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import httpx

from workers.chaos.rows import Rows
from workers.chaos.shop import Purchase
from workers.dev.running import RunningStack

_OPERATOR: Final = "operator@migrahosting.example"


async def sums(
    stack: RunningStack,
    http: httpx.AsyncClient,
    rows: Rows,
    bought: Sequence[Purchase],
) -> dict[str, str]:
    """Each line of the table by its name, in words that can be compared."""
    ledgers = {
        name: (await http.get(f"{url}/_simulator/ledger")).json()
        for name, url in stack.dev["simulators"].items()
        if name in ("stripe", "hosting", "powerdns", "mail")
    }
    effects = {
        name: Counter(one["effect"] for one in ledger["effects"])
        for name, ledger in ledgers.items()
    }
    states = Counter(await rows.orders())
    told = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
    paid = [
        one
        for one in ledgers["stripe"]["objects"].get("payment_intent", [])
        if one["status"] == "succeeded"
    ]
    money = await _doctor(stack, "--money")
    orphans = await _doctor(stack, "--orphans")
    return {
        "customers who paid": str(sum(each.intent is not None for each in bought)),
        "orders": told,
        "orders answered for": str(len({each.order_id for each in bought})),
        "charges": f"{len(paid)}, {sum(one['amount'] for one in paid) / 100:.2f} USD",
        "refunds": str(len(ledgers["stripe"]["objects"].get("refund", []))),
        "sites made": str(effects["hosting"]["site.created"]),
        "sites removed": str(effects["hosting"]["site.deleted"]),
        "files deployed": str(effects["hosting"]["file.deployed"]),
        "DNS records": str(effects["powerdns"]["record.put"]),
        "websites that answer": str(await _answering(stack, http, rows)),
        "backup plans": str(await rows.backup_plans()),
        "mails to customers": _mails(ledgers["mail"]["effects"]),
        "jobs for a person": str(await rows.parked()),
        "orphans": _orphans(orphans),
        "money identity": _money(money),
    }


def _orphans(told: dict[str, Any]) -> str:
    whole = "orphans" in told and not told["unasked"]
    return str(len(told["orphans"])) if whole else "unknown"


def _mails(effects: Sequence[dict[str, Any]]) -> str:
    """Each letter once: one whose answer was lost is handed in again as itself."""
    to = {one["key"]: str(one["detail"]["to"]) for one in effects}
    return str(sum(_OPERATOR not in recipient for recipient in to.values()))


def _money(books: dict[str, Any]) -> str:
    if not books.get("balanced"):
        return "does not add up"
    return f"every cent of {books['succeeded'] / 100:.2f}"


async def _answering(stack: RunningStack, http: httpx.AsyncClient, rows: Rows) -> int:
    """Websites that show a visitor their own page."""
    config = json.loads((stack.data_dir / "simulators.json").read_text())
    url = f"http://127.0.0.1:{config['hosting']['http_port']}/"
    pages = [
        (website_id, await http.get(url, headers={"Host": domain}))
        for website_id, domain in await rows.websites()
    ]
    return sum(page.is_success and id_ in page.text for id_, page in pages)


async def _doctor(stack: RunningStack, what: str) -> dict[str, Any]:
    where = ["--json", "--data-dir", str(stack.data_dir)]
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "workers.cli", "doctor", what, *where],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    said, _ = await process.communicate()
    found: dict[str, Any] = json.loads(said) if said else {}
    return found
