"""The gate before a provider account: nobody calls before its Retry-After is over."""

from typing import Protocol


class Gate(Protocol):
    """One provider account, shared by every job that uses it."""

    async def enter(self) -> None:
        """Before each call. Raises `ProviderBlocked` while the account must rest."""

    async def throttled(self, retry_after: float) -> None:
        """Told 429: closes the gate for `retry_after` seconds, for every process."""


class OpenGate:
    """For the few callers outside the worker (`doctor`, client tests)."""

    async def enter(self) -> None:
        """Always open."""

    async def throttled(self, retry_after: float) -> None:
        """Remembers nothing."""
