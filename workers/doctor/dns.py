"""One question to a name server, by hand: does it answer for the zone?"""

import asyncio
import secrets
import struct

_SOA, _IN = 6, 1
_NO_ERROR = 0
_ANSWERS_FOR_IT = 0x0400  # the AA bit


class Silent(Exception):
    """No answer, or none that counts; the message says which."""


class _Heard(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[bytes] = loop.create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002
        if not self.answer.done():
            self.answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)


async def answers_for(zone: str, address: str, *, timeout: float) -> None:
    """`address` is host:port. Raises `Silent`."""
    host, _, port = address.rpartition(":")
    number = secrets.randbelow(1 << 16)
    try:
        async with asyncio.timeout(timeout):
            loop = asyncio.get_running_loop()
            transport, heard = await loop.create_datagram_endpoint(
                _Heard, remote_addr=(host.strip("[]"), int(port))
            )
            try:
                transport.sendto(_question(number, zone))
                data = await heard.answer
            finally:
                transport.close()
    except TimeoutError:
        raise Silent("no answer") from None
    except (OSError, ValueError) as error:
        raise Silent(str(error) or type(error).__name__) from None
    _check(data, number)


def _question(number: int, zone: str) -> bytes:
    head = struct.pack(">6H", number, 0, 1, 0, 0, 0)
    labels = zone.rstrip(".").encode("idna").split(b".")
    name = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    return head + name + struct.pack(">2H", _SOA, _IN)


def _check(data: bytes, number: int) -> None:
    if len(data) < 12:
        raise Silent("an answer that is none")
    told, flags, _, answers = struct.unpack(">4H", data[:8])
    if told != number:
        raise Silent("an answer to another question")
    if flags & 0xF != _NO_ERROR or not answers or not flags & _ANSWERS_FOR_IT:
        raise Silent("it does not answer for this zone")
