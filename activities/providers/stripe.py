"""Stripe: who has paid what, and giving it back.

The SDK does not retry: Temporal is the only layer that does. Nothing here trusts what a
caller or an event says about money; every answer is Stripe's own object, fetched now.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import stripe

from activities.errors import ProviderDown, ProviderError, ProviderRejected
from activities.errors import ProviderThrottled as Throttled
from activities.gate import Gate
from activities.payments import Payment, Refund, StripeEvent
from activities.providers.http import retry_after

T = TypeVar("T")

REFUND_KEY = "mpanel_refund"
ORDER_KEY = "order_id"

_PAGE = 100
_RETRY_AFTER = 5.0
_CHARGE = {"expand": ["latest_charge"]}
# An invoice may take up a PaymentIntent that was there before; never one from tomorrow.
_INVOICED_EARLIER = timedelta(hours=1)


class StripeAccount:
    """One Stripe account. Every method may raise a `ProviderError`."""

    def __init__(
        self, api_key: str, *, api_base: str | None, gate: Gate, timeout: float = 20
    ) -> None:
        self._http = stripe.HTTPXClient(timeout=timeout)
        client = stripe.StripeClient(
            api_key,
            base_addresses={"api": api_base} if api_base else {},
            max_network_retries=0,
            http_client=self._http,
        )
        self._v1 = client.v1
        self._gate = gate

    async def payment(self, payment_intent_id: str) -> Payment | None:
        """The payment, or None if Stripe knows none of that id."""
        get = self._v1.payment_intents.retrieve_async
        intent = await self._found(get, payment_intent_id, _CHARGE)
        return intent and _payment(intent, await self._invoice_of(intent.id))

    async def payments_of(
        self, stripe_customer_id: str, *, since: datetime
    ) -> list[Payment]:
        """The customer's payments in any state, oldest first; none for a stranger."""
        asked = {
            "customer": stripe_customer_id,
            "created": {"gte": _unix(since)},
            "expand": ["data.latest_charge"],
        }
        try:
            intents = await self._all(self._v1.payment_intents.list_async, asked)
        except ProviderRejected as rejected:
            if rejected.code == "resource_missing":
                return []
            raise
        return [_payment(each, await self._invoice_of(each.id)) for each in intents]

    async def succeeded_since(self, since: datetime) -> list[Payment]:
        """Every customer's payments that succeeded, oldest first."""
        asked = {"created": {"gte": _unix(since)}, "expand": ["data.latest_charge"]}
        intents = await self._all(self._v1.payment_intents.list_async, asked)
        earlier = {"created": {"gte": _unix(since - _INVOICED_EARLIER)}}
        settling = await self._all(self._v1.invoice_payments.list_async, earlier)
        invoices = {each.payment.payment_intent: each.invoice for each in settling}
        return [
            _payment(intent, invoices.get(intent.id))
            for intent in intents
            if intent.status == "succeeded"
        ]

    async def session_payment(self, checkout_session_id: str) -> str | None:
        """The id of the PaymentIntent by which the Checkout Session was paid."""
        get = self._v1.checkout.sessions.retrieve_async
        session = await self._found(get, checkout_session_id)
        intent_id: str | None = session and session.payment_intent
        return intent_id

    async def refunds(self, payment_intent_id: str) -> list[Refund]:
        """What was given back of the payment, oldest first."""
        asked = {"payment_intent": payment_intent_id}
        found = await self._all(self._v1.refunds.list_async, asked)
        return [_refund(each) for each in found]

    async def refund_now(self, refund_id: str) -> Refund | None:
        """What became of a refund; None if Stripe does not know it."""
        found = await self._found(self._v1.refunds.retrieve_async, refund_id)
        return found and _refund(found)

    async def refund(
        self,
        payment_intent_id: str,
        *,
        amount: int,
        key: str,
        metadata: dict[str, str],
    ) -> Refund:
        """Gives `amount` (minor units) back, once per key, however often it is called.

        Looking first covers what the idempotency key does not: it expires after a day,
        and Stripe repeats a stored 500 although the refund was made.

        Where somebody gave back so much in Stripe's dashboard that less than `amount`
        is left, that is given back, or their refund stands for ours: either way the
        customer has everything.
        """
        for made in await self.refunds(payment_intent_id):
            if made.key == key:
                return made
        asked = {
            "payment_intent": payment_intent_id,
            "amount": amount,
            "metadata": {**metadata, REFUND_KEY: key},
        }
        create = self._v1.refunds.create_async
        try:
            return _refund(await self._call(create, asked, {"idempotency_key": key}))
        except ProviderRejected:
            payment = await self.payment(payment_intent_id)
            if payment is None or payment.left >= amount:
                raise
        if not payment.left:
            return await self._given_back(payment)
        # Other values under one idempotency key would be refused.
        rest = {**asked, "amount": payment.left}
        once = {"idempotency_key": f"{key}:{payment.left}"}
        return _refund(await self._call(create, rest, once))

    async def _given_back(self, payment: Payment) -> Refund:
        """The newest refund that holds, of a payment of which nothing is left."""
        holding = [one for one in await self.refunds(payment.id) if not one.failed]
        if not holding:
            raise ProviderDown("stripe", f"{payment.id} is refunded by no refund")
        return holding[-1]

    async def event(self, event_id: str) -> StripeEvent | None:
        """The event, or None if Stripe never sent one of that id."""
        event = await self._found(self._v1.events.retrieve_async, event_id)
        return event and _event(event)

    async def events_since(self, since: datetime) -> list[StripeEvent]:
        """Every event, delivered or not, oldest first."""
        asked = {"created": {"gte": _unix(since)}}
        return [_event(e) for e in await self._all(self._v1.events.list_async, asked)]

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.close_async()  # type: ignore[no-untyped-call]

    async def _invoice_of(self, payment_intent_id: str) -> str | None:
        payment = {"type": "payment_intent", "payment_intent": payment_intent_id}
        list_ = self._v1.invoice_payments.list_async
        page = await self._call(list_, {"payment": payment, "limit": 1})
        return str(page.data[0].invoice) if page.data else None

    async def _all(self, list_: Callable[..., Awaitable[Any]], asked: Any) -> list[Any]:
        found = [each async for each in self._newest_first(list_, asked)]
        return found[::-1]

    async def _newest_first(
        self, list_: Callable[..., Awaitable[Any]], asked: Any
    ) -> AsyncIterator[Any]:
        cursor: dict[str, str] = {}
        more = True
        while more:
            page = await self._call(list_, {**asked, **cursor, "limit": _PAGE})
            for each in page.data:
                yield each
            more = page.has_more
            cursor = {"starting_after": page.data[-1].id} if more else {}

    async def _found(self, get: Callable[..., Awaitable[Any]], *asked: Any) -> Any:
        try:
            return await self._call(get, *asked)
        except ProviderRejected as rejected:
            if rejected.code == "resource_missing":
                return None
            raise

    async def _call(self, method: Callable[..., Awaitable[T]], *asked: Any) -> T:
        await self._gate.enter()
        try:
            return await method(*asked)
        except stripe.StripeError as error:
            told: ProviderError = _told(error)
        except UnicodeDecodeError:
            told = ProviderDown("stripe", "the answer is not readable", code="garbage")
        if isinstance(told, Throttled):
            await self._gate.throttled(told.retry_after)
        raise told


def _told(error: stripe.StripeError) -> ProviderError:
    status = error.http_status or 0
    code = error.code or (error.error and error.error.code) or ""
    message = error.user_message or code or type(error).__name__
    if status == 429:
        asked = retry_after((error.headers or {}).get("retry-after"))
        rest = _RETRY_AFTER if asked is None else asked
        return Throttled("stripe", message, retry_after=rest)
    if status == 401:
        # Stripe's own words quote the key.
        return ProviderRejected("stripe", "the API key is refused", code="unauthorized")
    if status < 400 or status == 409 or status >= 500:
        # No answer, no readable one, or another try still runs: nobody knows.
        code = code or (f"http_{status}" if status else "network")
        return ProviderDown("stripe", message, code=code)
    return ProviderRejected("stripe", message, code=code or f"http_{status}")


def _payment(intent: stripe.PaymentIntent, invoice_id: Any) -> Payment:
    charge = intent.latest_charge
    charged = charge if isinstance(charge, stripe.Charge) else None
    return Payment(
        id=intent.id,
        customer_id=None if intent.customer is None else str(intent.customer),
        amount=intent.amount,
        amount_received=intent.amount_received,
        currency=intent.currency,
        status=intent.status,
        created_at=_when(intent.created),
        order_reference=intent.metadata.to_dict().get(ORDER_KEY),
        amount_refunded=charged.amount_refunded if charged else 0,
        disputed=charged.disputed if charged else False,
        invoice_id=invoice_id,
        charge_id=charged.id if charged else None,
    )


def _refund(refund: stripe.Refund) -> Refund:
    tags = refund.metadata.to_dict() if refund.metadata else {}
    return Refund(
        id=refund.id,
        amount=refund.amount,
        currency=refund.currency,
        status=refund.status or "unknown",
        key=tags.get(REFUND_KEY),
    )


def _event(event: stripe.Event) -> StripeEvent:
    about = event.data.object
    return StripeEvent(
        id=event.id,
        type=event.type,
        object_id=str(about["id"]),
        created_at=_when(event.created),
    )


def _unix(moment: datetime) -> int:
    return int(moment.timestamp())


def _when(unix: int) -> datetime:
    return datetime.fromtimestamp(unix, UTC)
