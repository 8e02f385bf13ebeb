"""An archive as it lies at the store: encrypted in pieces, so none is held whole.

    header   8 bytes that name the format, 7 random bytes
    piece    AES-256-GCM of 1 MiB of content; the last one holds what is left

The nonce of a piece is the random bytes, its number (4 bytes) and whether it is the
last (1 byte); the header is authenticated with each. So a piece that is missing, moved
or taken from another archive does not open. A second try under the same key draws other
random bytes: no nonce is ever used for two contents.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_FORMAT = b"mpanel\x00\x01"
_RANDOM = 7
_PIECE = 1 << 20
_TAG = 16


class ArchiveDamaged(Exception):
    """These are not the bytes that were sealed, or not under this key."""


@dataclass(frozen=True)
class Sealed:
    """`size` in bytes and `sha256` in hex, of the sealed bytes."""

    size: int
    sha256: str
    content_sha256: str


def seal(content: BinaryIO, to: BinaryIO, key: bytes) -> Sealed:
    """Encrypts all of `content`, from where it stands, under a key of 32 bytes."""
    cipher, header = AESGCM(key), _FORMAT + os.urandom(_RANDOM)
    plain, sealed = hashlib.sha256(), hashlib.sha256(header)
    size = to.write(header)
    for nonce, piece in _pieces(content, header, _PIECE):
        plain.update(piece)
        closed = cipher.encrypt(nonce, piece, header)
        sealed.update(closed)
        size += to.write(closed)
    return Sealed(size, sealed.hexdigest(), plain.hexdigest())


def unseal(sealed: BinaryIO, to: BinaryIO, key: bytes) -> str:
    """Decrypts into `to`; returns the SHA-256 of the content in hex.

    Raises `ArchiveDamaged`; what `to` holds then is worth nothing.
    """
    header = sealed.read(len(_FORMAT) + _RANDOM)
    if len(header) != len(_FORMAT) + _RANDOM or not header.startswith(_FORMAT):
        raise ArchiveDamaged("it is not an archive of this format")
    cipher, plain = AESGCM(key), hashlib.sha256()
    for nonce, closed in _pieces(sealed, header, _PIECE + _TAG):
        try:
            piece = cipher.decrypt(nonce, closed, header)
        except InvalidTag:
            raise ArchiveDamaged("a piece of it does not open") from None
        plain.update(piece)
        to.write(piece)
    return plain.hexdigest()


def _pieces(
    source: BinaryIO, header: bytes, size: int
) -> Iterator[tuple[bytes, bytes]]:
    """Nonce and bytes of each piece. There is always a last one, maybe empty."""
    number, piece = 0, source.read(size)
    while True:
        following = source.read(size)
        last = b"\x00" if following else b"\x01"
        yield header[-_RANDOM:] + number.to_bytes(4, "big") + last, piece
        if not following:
            return
        number, piece = number + 1, following
