"""A store is lost, or goes back in time: no order is lost, nobody pays twice, and what
cannot be known is told to an operator."""

import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.dev.program import PATIENT, until
from tests.faults.ledgers import GOLDEN, Ledgers, delivered, times
from tests.faults.shop import PRICE, Shop
from tests.faults.stand import Stand
from workers.dev.folder import DataFolder
from workers.dev.postgres import ELSEWHERE

IN_FLIGHT = 20
pytestmark = pytest.mark.timeout(900)


def test_orders_in_flight_survive_the_loss_of_temporals_store(
    shop: Shop, stand: Stand
) -> None:
    since = Ledgers(shop)
    shop.delays("hosting", **{"clpctl *": 1.0, "sftp write": 1.0})
    orders = [shop.bought() for _ in range(IN_FLIGHT)]
    until(lambda: since.effects("powerdns"), within=PATIENT)

    for file in stand.data_dir.glob("temporal.sqlite*"):
        file.unlink()
    stand.kill("temporal")
    shop.delays("hosting")

    until(lambda: lost(shop), within=PATIENT)
    retry_all(shop, [order_id for _, order_id in orders])
    for paid, order_id in orders:
        delivered(shop, paid, shop.completed(order_id))
    since.come_to(times(GOLDEN, IN_FLIGHT))
    assert stand.doctor().returncode == 0


def lost(shop: Shop) -> list[dict[str, Any]]:
    """Jobs whose run is not known any more, or ended behind our back."""
    reasons = ("run_lost", "run_ended_outside")
    return [
        job for job in shop.jobs(status="needs_attention") if job["reason"] in reasons
    ]


def retry_all(shop: Shop, order_ids: list[str]) -> None:
    """Retries whatever was lost, until every order is completed."""

    def over() -> bool:
        for job in lost(shop):
            answer = shop.decide(job["id"], "retry", reason="its run was lost")
            assert answer.status_code in (200, 409), answer.text
        states = [shop.read(f"/api/orders/{one}")["state"] for one in order_ids]
        return states == ["completed"] * len(order_ids)

    until(over, within=PATIENT)


def test_postgresql_taken_back_in_time_charges_nobody_twice(
    shop: Shop, stand: Stand
) -> None:
    """An order in flight at the copy is adopted. Of one that came after it, payment
    and site are listed, until somebody tells us what they were for."""
    since = Ledgers(shop)
    shop.delays("hosting", **{"clpctl *": 3.0})
    in_flight = shop.bought()
    until(lambda: since.effects("powerdns"), within=PATIENT)
    stand.down(signal.SIGTERM)
    copy = copied(stand)
    stand.up()
    shop.delays("hosting")
    later = shop.pay()
    for paid, order_id in (in_flight, (later, shop.order(later))):
        delivered(shop, paid, shop.completed(order_id))
    since.come_to(times(GOLDEN, 2))
    user_of = {
        one["key"]: one["detail"]["user"]
        for one in since.effects("hosting")
        if one["effect"] == "site.created"
    }

    stand.down()
    put_back(stand, copy)
    stand.up()

    retry_all(shop, [in_flight[1]])
    order = shop.completed(in_flight[1])
    assert order["paidBy"]["stripePaymentIntentId"] == in_flight[0].intent
    until(lambda: listed(shop, later.intent), within=PATIENT)
    [site] = shop.read(f"/api/customers/{order['customerId']}/websites")["items"]
    del user_of[site["domain"]]
    [(domain, user)] = user_of.items()
    until(
        lambda: orphans(shop) == {f"DNS record {domain}", f"site of {user}"},
        within=PATIENT,
    )
    since.come_to(times(GOLDEN, 2))
    assert stand.doctor().returncode == 0

    # The marketing site sends it again: the listed payment pays for it.
    again = shop.completed(shop.order(later))
    assert again["paidBy"]["stripePaymentIntentId"] == later.intent
    until(lambda: not listed(shop, later.intent), within=PATIENT)
    assert len(orphans(shop)) == 2
    since.come_to(times(GOLDEN, 3))  # one of them is the orphan
    assert charged(since) == 2 * PRICE
    assert stand.doctor().returncode == 0


def orphans(shop: Shop) -> set[str]:
    """What carries our mark and no row explains, as an operator is told."""
    alerts = shop.read("/api/alerts?status=open&pageSize=100")["items"]
    found = (one["message"] for one in alerts if one["cause"] == "orphan")
    words = re.compile(r"the ((DNS record|site of) \S+)")
    return {words.match(message)[1] for message in found}  # type: ignore[index]


def listed(shop: Shop, intent: str) -> bool:
    """Whether an operator is shown this payment."""
    found = shop.read("/api/payments/unclaimed")["items"]
    return intent in [one["stripePaymentIntentId"] for one in found]


def charged(since: Ledgers) -> int:
    """Everything that customers paid since, in cents."""
    charges = [one for one in since.effects("stripe") if "charge" in one["effect"]]
    return sum(one["detail"]["amount"] for one in charges)


def copied(stand: Stand) -> Path:
    """A copy of the stopped PostgreSQL's files."""
    copy = stand.data_dir / "copy"
    subprocess.run(["cp", "-a", str(_cluster(stand)), str(copy)], check=True)
    return copy


def put_back(stand: Stand, copy: Path) -> None:
    """The copy takes the place of the files."""
    cluster = _cluster(stand)
    shutil.rmtree(cluster)
    subprocess.run(["mv", str(copy), str(cluster)], check=True)


def _cluster(stand: Stand) -> Path:
    elsewhere = DataFolder(stand.data_dir).read(ELSEWHERE)
    return (
        Path(elsewhere["home"]) / "data" if elsewhere else stand.data_dir / "postgres"
    )
