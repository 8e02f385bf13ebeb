"""Secrets at rest: AES-256-GCM with versioned keys.

The additional data names tenant and row, so a ciphertext copied into another row does
not open. Stored form: `<key version>.<base64 nonce + ciphertext>`.
"""

import base64
import os
from collections.abc import Mapping

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE = 12
# Of 32 random bytes, fewer differ once in 10^20 keys.
_FEWEST_BYTES = 16


class Vault:
    """Seals with the newest key, opens with any of them."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._raw = dict(keys)
        self._keys = {version: AESGCM(key) for version, key in keys.items()}
        self._newest = list(keys)[-1]

    @classmethod
    def parse(cls, text: str) -> "Vault":
        """From `v1:<base64 of 32 bytes>,v2:...`, oldest first; else ValueError."""
        keys = {}
        for part in text.split(","):
            version, _, encoded = part.strip().partition(":")
            key = base64.b64decode(encoded, validate=True)
            if not version or "." in version or len(key) != 32:
                raise ValueError("ENCRYPTION_KEYS: want <version>:<base64 of 32 bytes>")
            keys[version] = key
        return cls(keys)

    def seal(self, secret: bytes, *, bound_to: str) -> str:
        """Ciphertext that opens only with the same `bound_to` (tenant and row)."""
        nonce = os.urandom(_NONCE)
        sealed = self._keys[self._newest].encrypt(nonce, secret, bound_to.encode())
        return f"{self._newest}.{base64.b64encode(nonce + sealed).decode()}"

    def open(self, sealed: str, *, bound_to: str) -> bytes:
        """The secret. `InvalidTag` if row, tenant or a byte differs."""
        version, _, encoded = sealed.partition(".")
        raw = base64.b64decode(encoded)
        key = self._keys[version]
        return key.decrypt(raw[:_NONCE], raw[_NONCE:], bound_to.encode())

    @property
    def newest(self) -> str:
        """The version that new secrets are sealed under."""
        return self._newest

    @property
    def guessable(self) -> bool:
        """Whether the newest key is nothing that chance would give: it repeats."""
        return len(set(self._raw[self._newest])) < _FEWEST_BYTES

    def derived(self, version: str, purpose: str) -> bytes:
        """A 32-byte key of its own for one purpose (one backup archive)."""
        kdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose.encode())
        return kdf.derive(self._raw[version])
