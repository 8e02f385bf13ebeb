"""HTTP to a provider: one place where an answer becomes an error that tells what to do.

2xx                     the answer
429, 503 + Retry-After  ProviderThrottled, and the gate is closed for everybody
408, 425, 5xx, network  ProviderDown: it may have happened
any other               ProviderRejected, code `http_<status>`
"""

import re
from collections.abc import Collection
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from activities.errors import (
    ProviderDown,
    ProviderRejected,
    ProviderThrottled,
    redacted,
)
from activities.gate import Gate

_DEFAULT_REST = 5.0
_LONGEST_REST = 86_400.0
_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")
_TRY_AGAIN = {408, 425}


class HttpApi:
    """One provider account over HTTP. Retries nothing, follows no redirect."""

    def __init__(
        self,
        provider: str,
        url: str,
        *,
        gate: Gate,
        timeout: float,
        headers: dict[str, str] | None = None,
    ) -> None:
        self._provider = provider
        self._gate = gate
        self._client = httpx.AsyncClient(
            base_url=url,
            headers=headers,
            timeout=timeout,
            follow_redirects=False,
            trust_env=False,
        )

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        expected: Collection[int] = (),
    ) -> httpx.Response:
        """A 2xx answer, or one whose status is in `expected`; all else is raised."""
        await self._gate.enter()
        act = f"{method} {path}"
        try:
            response = await self._client.request(method, path, json=json)
        except httpx.TransportError as error:
            raise ProviderDown(
                self._provider, f"{act}: {type(error).__name__}", code="network"
            ) from error
        if response.is_success or response.status_code in expected:
            return response
        raise await self._failure(act, response)

    def json_of(self, response: httpx.Response) -> Any:
        """The parsed body. Garbage says nothing about the outcome: `ProviderDown`."""
        try:
            return response.json()
        except ValueError as error:
            raise ProviderDown(
                self._provider, "the answer is not JSON", code="garbage"
            ) from error

    def garbage(self, what: str) -> ProviderDown:
        """The error for an answer of the wrong shape."""
        return ProviderDown(self._provider, f"the answer has no {what}", code="garbage")

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _failure(self, act: str, response: httpx.Response) -> Exception:
        status = response.status_code
        # Hidden before it is cut: half a secret is not known by its look.
        message = f"{act}: {status} {redacted(response.text)[:200]}"
        rest = retry_after(response.headers.get("Retry-After"))
        if status == 429 or (status == 503 and rest is not None):
            rest = _DEFAULT_REST if rest is None else rest
            await self._gate.throttled(rest)
            return ProviderThrottled(self._provider, message, retry_after=rest)
        if status >= 500 or status in _TRY_AGAIN:
            return ProviderDown(self._provider, message, code=f"http_{status}")
        return ProviderRejected(self._provider, message, code=f"http_{status}")


def retry_after(header: str | None) -> float | None:
    """Seconds to wait, a day at most, from either form of the header; None if it is
    absent or unreadable."""
    if not header:
        return None
    if _SECONDS.fullmatch(header.strip()):
        return min(float(header), _LONGEST_REST)
    try:
        moment = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    rest = (moment - datetime.now(UTC)).total_seconds()
    return min(max(0.0, rest), _LONGEST_REST)
