"""How a part tells that it can be used."""

import asyncio
import secrets
import socket


async def answers(url: str) -> bool:
    """Whether a GET of this http URL gets a 200 within two seconds."""
    host, _, path = url.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection(name, int(port))
            try:
                request = f"GET /{path} HTTP/1.1\r\nHost: {host}\r\n"
                writer.write(f"{request}Connection: close\r\n\r\n".encode())
                status = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
    return status.split(b" ")[1:2] == [b"200"]


class ReadyNotice:
    """The systemd notification protocol, for parts without a port of their own."""

    def __init__(self) -> None:
        name = f"mpanel-{secrets.token_hex(8)}"
        self._socket = socket.socket(
            socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
        )
        self._socket.bind(f"\0{name}")
        self.environment = {"NOTIFY_SOCKET": f"@{name}"}

    async def arrived(self) -> bool:
        """Whether READY=1 has come since the last call."""
        ready = False
        while True:
            try:
                ready |= b"READY=1" in self._socket.recv(4096)
            except BlockingIOError:
                return ready

    async def forget(self) -> None:
        """Drops what a predecessor said."""
        await self.arrived()

    def close(self) -> None:
        """Nobody listens any more."""
        self._socket.close()
