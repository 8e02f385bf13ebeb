"""A look from outside: is this site served at this address?"""

from dataclasses import dataclass

import httpx

from activities.errors import ProviderDown

_LONGEST = 65536


@dataclass(frozen=True)
class Page:
    """What a visitor gets. `body` is cut at 65536 bytes."""

    status: int
    body: bytes


class WebProbe:
    """Plain HTTP by Host header; follows no redirect, trusts no proxy."""

    def __init__(self, *, timeout: float = 10) -> None:
        self._client = httpx.AsyncClient(
            timeout=timeout, follow_redirects=False, trust_env=False
        )

    async def page(self, address: str, *, host_header: str, path: str = "/") -> Page:
        """The page of `host_header` at `address` ("host:port"), whatever its status.

        Raises `ProviderDown` when nothing answers.
        """
        request = self._client.build_request(
            "GET", f"http://{address}{path}", headers={"Host": host_header}
        )
        try:
            response = await self._client.send(request, stream=True)
            try:
                body = bytearray()
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) >= _LONGEST:
                        break
            finally:
                await response.aclose()
        except httpx.TransportError as error:
            raise ProviderDown(
                "web", f"{host_header}: {type(error).__name__}", code="network"
            ) from error
        return Page(response.status_code, bytes(body[:_LONGEST]))

    async def aclose(self) -> None:
        await self._client.aclose()
