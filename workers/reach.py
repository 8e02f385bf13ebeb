"""Whether somebody listens there: cheap, and nothing is asked of them."""

import asyncio
from typing import Final
from urllib.parse import urlsplit

_PATIENCE: Final = 3.0
_PORTS: Final = {"http": 80, "https": 443}


async def listens(url: str) -> None:
    """Connects to where the URL leads. Raises OSError or TimeoutError."""
    at = urlsplit(url)
    await _greeting(at.hostname or "", at.port or _PORTS.get(at.scheme, 0), b"")


async def greets(host: str, port: int, with_: bytes) -> None:
    """The server speaks first: SSH and SMTP do. Raises OSError or TimeoutError."""
    await _greeting(host, port, with_)


async def _greeting(host: str, port: int, wanted: bytes) -> None:
    async with asyncio.timeout(_PATIENCE):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            if wanted and not (await reader.read(256)).startswith(wanted):
                raise ConnectionError("it answers, but not as it should")
        finally:
            writer.close()
