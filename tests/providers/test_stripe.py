"""The Stripe client against the simulator: who paid, and giving back once."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from simulators.core import Simulator
from simulators.stripe import build

from activities.errors import (
    ProviderDown,
    ProviderError,
    ProviderRejected,
    ProviderThrottled,
)
from activities.providers.stripe import StripeAccount

KEY = "sk_test_secretpart1234"
AGO = datetime.now(UTC) - timedelta(hours=1)


class RecordingGate:
    """Always open; remembers what it is told."""

    def __init__(self) -> None:
        self.entered = 0
        self.pauses: list[float] = []

    async def enter(self) -> None:
        self.entered += 1

    async def throttled(self, retry_after: float) -> None:
        self.pauses.append(retry_after)


@pytest.fixture(scope="module")
async def simulator(tmp_path_factory: Any) -> AsyncIterator[Simulator]:
    settings = {"port": 0, "api_key": KEY}
    simulator = build(settings, tmp_path_factory.mktemp("stripe"))
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.fixture
async def buyer(simulator: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    """Whoever pays at Stripe, and scripts its faults."""
    async with httpx.AsyncClient(
        base_url=simulator.url,
        headers={"Authorization": f"Bearer {KEY}"},
        timeout=60,
    ) as http:
        await http.post("/_simulator/reset")
        yield http


@pytest.fixture
def gate() -> RecordingGate:
    return RecordingGate()


@pytest.fixture
async def account(
    simulator: Simulator, buyer: httpx.AsyncClient, gate: RecordingGate
) -> AsyncIterator[StripeAccount]:
    account = StripeAccount(KEY, api_base=simulator.url, gate=gate, timeout=60)
    yield account
    await account.aclose()


@pytest.fixture
async def hasty(simulator: Simulator) -> AsyncIterator[StripeAccount]:
    """For answers that are meant to come too late."""
    account = StripeAccount(
        KEY, api_base=simulator.url, gate=RecordingGate(), timeout=3
    )
    yield account
    await account.aclose()


async def pay(buyer: httpx.AsyncClient, **more: Any) -> str:
    asked = {"customer": "cus_1", "amount": 1999, "currency": "usd", **more}
    answer = await buyer.post("/_simulator/payments", json=asked)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["payment_intent"]["id"])


async def fault(buyer: httpx.AsyncClient, **script: Any) -> None:
    answer = await buyer.put("/_simulator/faults", json=[script])
    assert answer.status_code == 200, answer.text


async def given_back(buyer: httpx.AsyncClient) -> list[int]:
    effects = (await buyer.get("/_simulator/ledger")).json()["effects"]
    made = [each for each in effects if each["effect"] == "refund.created"]
    return [each["detail"]["amount"] for each in made]


async def subscribe(buyer: httpx.AsyncClient) -> str:
    """Another customer's subscription; the id of that customer."""

    async def made(path: str, form: dict[str, Any]) -> str:
        answer = await buyer.post(path, data=form)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    customer = await made("/v1/customers", {"email": "s@example.test"})
    monthly = {"currency": "usd", "unit_amount": 5, "recurring[interval]": "month"}
    price = await made("/v1/prices", {**monthly, "product_data[name]": "Mail"})
    items = {"items[0][price]": price, "default_payment_method": "pm_card_visa"}
    await made("/v1/subscriptions", {"customer": customer, **items})
    return customer


async def test_a_payment_tells_what_proves_an_order(
    account: StripeAccount, buyer: httpx.AsyncClient
) -> None:
    created = int(AGO.timestamp())
    paid = await pay(buyer, metadata={"order_id": "o-1"}, created=created)

    payment = await account.payment(paid)

    assert payment
    assert (payment.id, payment.customer_id) == (paid, "cus_1")
    assert (payment.amount, payment.amount_received) == (1999, 1999)
    assert (payment.currency, payment.status) == ("usd", "succeeded")
    assert payment.created_at == datetime.fromtimestamp(created, UTC)
    assert payment.order_reference == "o-1"
    assert (payment.amount_refunded, payment.disputed) == (0, False)
    assert payment.invoice_id is None
    assert payment.charge_id


async def test_an_unpaid_intent_has_no_charge(
    account: StripeAccount, buyer: httpx.AsyncClient
) -> None:
    open_ = await pay(buyer, status="requires_payment_method")

    payment = await account.payment(open_)

    assert payment
    assert payment.status == "requires_payment_method"
    assert (payment.amount_received, payment.charge_id) == (0, None)


async def test_refunds_and_disputes_show_on_the_payment(
    account: StripeAccount, buyer: httpx.AsyncClient
) -> None:
    refunded, disputed = await pay(buyer), await pay(buyer)
    await account.refund(refunded, amount=500, key="k", metadata={})
    await buyer.post("/_simulator/dispute", json={"payment_intent": disputed})

    first, second = await account.payments_of("cus_1", since=AGO)

    assert (first.amount_refunded, first.disputed) == (500, False)
    assert (second.amount_refunded, second.disputed) == (0, True)


async def test_a_payment_of_an_invoice_says_so(
    account: StripeAccount, buyer: httpx.AsyncClient
) -> None:
    customer = await subscribe(buyer)
    await pay(buyer)

    (one,) = await account.payments_of(customer, since=AGO)
    everybody = await account.succeeded_since(AGO)

    assert one.invoice_id
    assert [each.invoice_id for each in everybody] == [one.invoice_id, None]


async def test_every_page_is_read_and_the_oldest_comes_first(
    account: StripeAccount, buyer: httpx.AsyncClient
) -> None:
    early = int((AGO - timedelta(hours=1)).timestamp())
    await pay(buyer, created=early)
    await pay(buyer, status="requires_payment_method")
    made = [await pay(buyer) for _ in range(101)]

    succeeded = await account.succeeded_since(AGO)

    assert [payment.id for payment in succeeded] == made


async def test_what_stripe_does_not_know_is_none(account: StripeAccount) -> None:
    assert await account.payment("pi_none") is None
    assert await account.event("evt_none") is None
    assert await account.session_payment("cs_test_none") is None
    assert await account.payments_of("cus_none", since=AGO) == []


async def test_a_session_leads_to_its_payment(
    account: StripeAccount, buyer: httpx.AsyncClient
) -> None:
    line = "line_items[0][price_data]"
    form = {
        "mode": "payment",
        "success_url": "http://127.0.0.1/",
        f"{line}[currency]": "usd",
        f"{line}[unit_amount]": "5",
        f"{line}[product_data][name]": "Mug",
    }
    session = (await buyer.post("/v1/checkout/sessions", data=form)).json()["id"]
    assert await account.session_payment(session) is None

    await buyer.post(f"/_simulator/checkout/{session}/pay")

    found = await account.session_payment(session)
    assert found
    payment = await account.payment(found)
    assert payment
    assert payment.amount_received == 5


async def test_events_name_the_object_they_are_about(
    account: StripeAccount, buyer: httpx.AsyncClient
) -> None:
    paid = await pay(buyer)

    events = await account.events_since(AGO)

    assert [event.type for event in events] == [
        "customer.created",
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
    ]
    assert events[-1].object_id == paid
    assert await account.event(events[-1].id) == events[-1]


async def test_a_refund_is_made_once_per_key(
    account: StripeAccount, buyer: httpx.AsyncClient
) -> None:
    paid = await pay(buyer)
    asked: Any = {"amount": 500, "metadata": {"order": "o-1"}}

    first = await account.refund(paid, key="refund:1", **asked)
    again = await account.refund(paid, key="refund:1", **asked)
    other = await account.refund(paid, key="refund:2", **asked)

    assert first == again
    assert (first.amount, first.status, first.key) == (500, "succeeded", "refund:1")
    assert await account.refunds(paid) == [first, other]
    assert await given_back(buyer) == [500, 500]


@pytest.mark.parametrize("kind", ["execute_then_fail", "execute_then_timeout"])
async def test_a_refund_whose_answer_is_lost_is_found_again(
    account: StripeAccount, buyer: httpx.AsyncClient, kind: str
) -> None:
    paid = await pay(buyer)
    await fault(buyer, kind=kind, op="POST /v1/refunds", seconds=0)
    with pytest.raises(ProviderDown):
        await account.refund(paid, amount=500, key="k", metadata={})

    refund = await account.refund(paid, amount=500, key="k", metadata={})

    assert refund.key == "k"
    assert await given_back(buyer) == [500]


async def test_a_refund_stays_single_when_the_search_cannot_see_it_yet(
    account: StripeAccount, buyer: httpx.AsyncClient
) -> None:
    paid = await pay(buyer)
    first = await account.refund(paid, amount=500, key="k", metadata={})
    await buyer.post(f"/v1/refunds/{first.id}", data={"metadata[mpanel_refund]": ""})

    again = await account.refund(paid, amount=500, key="k", metadata={})

    assert again.id == first.id
    assert await given_back(buyer) == [500]


@pytest.mark.parametrize(
    ("script", "error", "code"),
    [
        ({"kind": "fail", "status": 503}, ProviderDown, "http_503"),
        ({"kind": "garbage"}, ProviderDown, "garbage"),
        ({"kind": "execute_then_timeout", "seconds": 0}, ProviderDown, "network"),
        ({"kind": "execute_then_timeout", "seconds": 9}, ProviderDown, "network"),
        ({"kind": "reject", "status": 409}, ProviderDown, "http_409"),
        ({"kind": "throttle", "retry_after": 3}, ProviderThrottled, "throttled"),
        (
            {"kind": "reject", "status": 402, "code": "card_declined"},
            ProviderRejected,
            "card_declined",
        ),
        ({"kind": "reject", "status": 403}, ProviderRejected, "http_403"),
    ],
)
async def test_the_error_tells_whether_trying_again_helps(
    account: StripeAccount,
    hasty: StripeAccount,
    buyer: httpx.AsyncClient,
    script: dict[str, Any],
    error: type[ProviderError],
    code: str,
) -> None:
    await fault(buyer, **script)

    with pytest.raises(ProviderError) as told:
        await (hasty if script.get("seconds") else account).refunds("pi_1")

    assert (type(told.value), told.value.code) == (error, code)


async def test_a_429_closes_the_gate_for_as_long_as_stripe_says(
    account: StripeAccount, buyer: httpx.AsyncClient, gate: RecordingGate
) -> None:
    await fault(buyer, kind="throttle", retry_after=7.5)

    with pytest.raises(ProviderThrottled) as told:
        await account.refunds("pi_1")

    assert told.value.retry_after == 7.5
    assert gate.pauses == [7.5]
    assert gate.entered == 1  # nothing was tried again


async def test_every_call_passes_the_gate(
    account: StripeAccount, buyer: httpx.AsyncClient, gate: RecordingGate
) -> None:
    paid = await pay(buyer)
    await account.payment(paid)
    await account.payments_of("cus_1", since=AGO)
    await account.refund(paid, amount=1, key="k", metadata={})

    calls = (await buyer.get("/_simulator/ledger")).json()["calls"]
    assert gate.entered == len(calls)


async def test_a_refused_key_is_not_told(simulator: Simulator) -> None:
    wrong = "sk_test_otherpart9876"
    account = StripeAccount(wrong, api_base=simulator.url, gate=RecordingGate())

    with pytest.raises(ProviderRejected) as told:
        await account.payment("pi_1")
    await account.aclose()

    assert told.value.code == "unauthorized"
    assert "9876" not in str(told.value)
