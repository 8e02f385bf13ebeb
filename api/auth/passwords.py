"""Argon2id, off the event loop and never too many at once: each takes 19 MiB."""

import asyncio
from functools import cache
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_AT_ONCE: Final = asyncio.Semaphore(2)


@cache
def _nobodys_hash() -> str:
    return _HASHER.hash("no password has this hash")


async def fits(password: str, stored: str | None) -> bool:
    """Whether this is the password. Without a hash it takes as long, and is False."""
    async with _AT_ONCE:
        return await asyncio.to_thread(_fits, password, stored)


async def hashed(password: str) -> str:
    """As it is stored."""
    async with _AT_ONCE:
        return await asyncio.to_thread(_HASHER.hash, password)


def _fits(password: str, stored: str | None) -> bool:
    try:
        _HASHER.verify(stored or _nobodys_hash(), password)
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None
