"""What a Stripe key may do, asked in ways that change nothing.

A key that lacks a right is told so before Stripe looks whether the object exists: a
refund of a payment that nobody made is refused as unknown only to who might make it.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from activities.errors import ProviderDown, ProviderRejected

PROVIDER = "stripe"
_BASE = "https://api.stripe.com"
_NOBODYS: Final = "mpanel_doctor_asks"

# A right in the words of Stripe's dashboard, and a call that needs it.
_RIGHTS: Final[Sequence[tuple[str, str, str, Mapping[str, str]]]] = (
    ("PaymentIntents: read", "GET", "/v1/payment_intents", {"limit": "1"}),
    ("Invoices: read", "GET", "/v1/invoice_payments", {"limit": "1"}),
    ("Events: read", "GET", "/v1/events", {"limit": "1"}),
    ("Checkout Sessions: read", "GET", f"/v1/checkout/sessions/cs_{_NOBODYS}", {}),
    ("Charges and Refunds: read", "GET", "/v1/refunds", {"limit": "1"}),
    (
        "Charges and Refunds: write",
        "POST",
        "/v1/refunds",
        {"payment_intent": f"pi_{_NOBODYS}"},
    ),
)


@dataclass(frozen=True)
class Seen:
    """`date`: Stripe's clock, read between `before` and `after` by ours."""

    lacking: tuple[str, ...]
    date: datetime | None
    before: datetime
    after: datetime


class StripeRights:
    """One key. Speaks plain HTTP: the SDK hides which right was lacking."""

    def __init__(self, api_key: str, *, api_base: str | None, timeout: float) -> None:
        self._client = httpx.AsyncClient(
            base_url=api_base or _BASE,
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=timeout,
            trust_env=False,
        )

    async def look(self) -> Seen:
        """Raises `ProviderDown`, or `ProviderRejected` for a key that is refused."""
        lacking = []
        for right, method, path, form in _RIGHTS:
            before = datetime.now(UTC)
            answer = await self._ask(method, path, form)
            after = datetime.now(UTC)
            if answer.status_code == httpx.codes.FORBIDDEN:
                lacking.append(right)
        return Seen(tuple(lacking), _date(answer), before.replace(microsecond=0), after)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _ask(
        self, method: str, path: str, form: Mapping[str, str]
    ) -> httpx.Response:
        given = {"params": form} if method == "GET" else {"data": form}
        try:
            answer = await self._client.request(method, path, **given)  # type: ignore[arg-type]
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ProviderDown(
                PROVIDER, f"no answer: {type(error).__name__}", code="network"
            ) from None
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            raise ProviderRejected(
                PROVIDER, "the API key is refused", code="unauthorized"
            )
        if answer.status_code >= 500 or answer.status_code == 429:
            raise ProviderDown(PROVIDER, f"answers {answer.status_code}")
        return answer


def _date(answer: httpx.Response) -> datetime | None:
    """To the second, as the header tells it."""
    with suppress(KeyError, ValueError):
        return parsedate_to_datetime(answer.headers["Date"]).astimezone(UTC)
    return None
