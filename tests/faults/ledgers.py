"""The judges: what the simulators' ledgers say happened, order by order and in sum."""

import re
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tests.dev.program import PATIENT, until
from tests.faults.shop import OPERATOR, Paid, Shop
from workers.relay import LEASE

PROVIDERS = ("stripe", "powerdns", "hosting", "backup_store", "mail")
Tally = Counter[tuple[str, str]]
_DIGEST = re.compile(r"\[mpanel\] \d+ alerts: ")
TO_OPERATOR = ("mail", "to the operator")
# A letter whose sender died with it is due again when its lease is over.
SETTLED = LEASE.total_seconds() + 30

# What an undisturbed order of WP Growth with daily backups leaves, once the platform's
# zone is there. The first test of every stack shows that it does.
GOLDEN: Tally = Counter(
    {
        ("hosting", "site.created"): 1,
        ("hosting", "file.deployed"): 1,
        ("powerdns", "record.put"): 1,
        ("mail", "to the customer"): 2,  # we have your payment; your website is live
    }
)


class Ledgers:
    """Everything from now on; nothing is ever reset."""

    def __init__(self, shop: Shop, of: Sequence[str] = PROVIDERS) -> None:
        self._shop = shop
        self._from = {name: self._last(name) for name in of}

    def _last(self, name: str) -> tuple[int, int]:
        ledger = self._shop.simulator(name, "GET", "ledger")
        last = [[one["id"] for one in ledger[of]] or [0] for of in ("effects", "calls")]
        return max(last[0]), max(last[1])

    def effects(self, name: str) -> list[dict[str, Any]]:
        """What changed at this provider since."""
        ledger = self._shop.simulator(name, "GET", "ledger")
        return [one for one in ledger["effects"] if one["id"] > self._from[name][0]]

    def calls(self, name: str) -> list[str]:
        """The operations that were called since, in order."""
        ledger = self._shop.simulator(name, "GET", "ledger")
        return [one["op"] for one in ledger["calls"] if one["id"] > self._from[name][1]]

    def answered(self, name: str, op: str) -> bool:
        """Whether such a call got a good answer since."""
        ledger = self._shop.simulator(name, "GET", "ledger")
        return any(
            one["id"] > self._from[name][1]
            and (one["op"], one["status"]) == (op, "200")
            for one in ledger["calls"]
        )

    def quiet(self, name: str) -> bool:
        """Whether nobody calls this provider for a moment."""
        before = self.calls(name)
        time.sleep(0.5)
        return self.calls(name) == before

    def tally(self) -> Tally:
        """How often each effect happened. The payments are left out; a mail counts
        once per Message-ID, and a digest not at all: it may tell of what was long ago.
        """
        counted: Tally = Counter()
        for name in ("powerdns", "hosting", "backup_store"):
            counted.update((name, one["effect"]) for one in self.effects(name))
        for one in self.effects("stripe"):
            if one["effect"].startswith("refund"):
                counted["stripe", one["effect"]] += 1
        for letter in {one["key"]: one["detail"] for one in self.mails()}.values():
            who = "operator" if OPERATOR in letter["to"] else "customer"
            if not _DIGEST.match(letter["subject"]):
                counted["mail", f"to the {who}"] += 1
        return counted

    def _but_letters(self, *, untold: bool) -> Tally:
        found = self.tally()
        if not untold:
            found.pop(TO_OPERATOR, None)
        return found

    def mails(self) -> list[dict[str, Any]]:
        """Those accepted since, but for repeats of a Message-ID from before: an answer
        that was lost then is asked for again."""
        first = self._from["mail"][0]
        ledger = self._shop.simulator("mail", "GET", "ledger")["effects"]
        before = {one["key"] for one in ledger if one["id"] <= first}
        return [one for one in ledger if one["id"] > first and one["key"] not in before]

    def subjects(self) -> list[str]:
        """What was written to the operator since."""
        return [
            one["detail"]["subject"]
            for one in self.mails()
            if OPERATOR in one["detail"]["to"]
        ]

    def come_to(
        self, expected: Tally, *, within: float = SETTLED, untold: bool = False
    ) -> None:
        """Waits until the ledgers hold this; fails at once when they hold more.

        `untold`: nor was the operator written to, by whatever happened on this stack.
        """
        deadline = time.monotonic() + within
        while (found := self._but_letters(untold=untold)) != expected:
            assert found <= expected, (
                f"too much: {found - expected}; letters: {self.subjects()}"
            )
            assert time.monotonic() < deadline, f"missing: {expected - found}"
            time.sleep(0.1)


def times(tally: Tally, count: int) -> Tally:
    """So many undisturbed orders."""
    return Counter({key: each * count for key, each in tally.items()})


def delivered(shop: Shop, paid: Paid, order: dict[str, Any]) -> None:
    """This customer has one live website, of one payment, and nothing twice."""
    customer = order["customerId"]
    [site] = shop.read(f"/api/customers/{customer}/websites")["items"]
    assert site["status"] == "active"
    assert site["id"] in shop.page(site["domain"]).text
    assert order["paidBy"]["stripePaymentIntentId"] == paid.intent
    assert order["refunds"] == []
    assert {job["state"] for job in order["jobs"]} == {"succeeded"}
    domain = site["domain"]
    ledger = {
        name: shop.simulator(name, "GET", "ledger")["effects"]
        for name in ("hosting", "powerdns", "mail")
    }
    assert _of("site.created", domain, ledger["hosting"]) == 1
    assert _of("record.put", domain, ledger["powerdns"]) == 1
    to_them = {
        mail["key"] for mail in ledger["mail"] if paid.email in mail["detail"]["to"]
    }
    assert len(to_them) <= 2


def _of(effect: str, domain: str, effects: Sequence[dict[str, Any]]) -> int:
    return sum(one["effect"] == effect and domain in one["key"] for one in effects)


def paid_and_told(shop: Shop, since: Ledgers) -> Paid:
    """Stripe's event of the payment was looked into before the order comes: else it is
    chance how often an order asks."""
    paid = shop.pay()
    until(
        lambda: since.answered("stripe", "GET /v1/payment_intents/{id}"), within=PATIENT
    )
    until(lambda: since.quiet("stripe"), within=PATIENT)
    return paid
