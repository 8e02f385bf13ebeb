"""Public SSH keys as customers give them: which kinds, and whether they are whole."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Final

from models.errors import Invalid

MOST_KEYS: Final = 20
_LONGEST: Final = 8192
_RSA_BITS: Final = 2048

# Of how many parts each kind consists, its own name being the first.
_PARTS: Final[Mapping[str, int]] = {
    "ssh-ed25519": 2,
    "ssh-rsa": 3,
    "ecdsa-sha2-nistp256": 3,
    "ecdsa-sha2-nistp384": 3,
    "ecdsa-sha2-nistp521": 3,
    "sk-ssh-ed25519@openssh.com": 3,
    "sk-ecdsa-sha2-nistp256@openssh.com": 4,
}


def ssh_keys(given: Sequence[str], *, field: str) -> list[str]:
    """The keys, each once, as `authorized_keys` takes them, without options.

    Raises `Invalid` naming the field, and the place of the key in it.
    """
    if len(given) > MOST_KEYS:
        raise Invalid(field, f"at most {MOST_KEYS} keys")
    kept = [_key(line, f"{field}[{place}]") for place, line in enumerate(given)]
    return list(dict.fromkeys(kept))


def _key(line: str, field: str) -> str:
    if len(line) > _LONGEST:
        raise Invalid(field, f"an SSH key has at most {_LONGEST} characters")
    if not line.isprintable():
        raise Invalid(field, "an SSH key is one line of printable characters")
    kind, _, rest = line.strip().partition(" ")
    encoded, _, comment = rest.strip().partition(" ")
    if kind not in _PARTS:
        raise Invalid(
            field, f"want a public key of one of these kinds: {', '.join(_PARTS)}"
        )
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise Invalid(field, "the key after its kind is not base64") from None
    parts = _split(blob)
    if parts is None or len(parts) != _PARTS[kind] or parts[0] != kind.encode():
        raise Invalid(field, f"the key is not a whole {kind} key")
    if kind == "ssh-ed25519" and len(parts[1]) != 32:
        raise Invalid(field, "an ssh-ed25519 key has 32 bytes")
    if kind == "ssh-rsa" and int.from_bytes(parts[2]).bit_length() < _RSA_BITS:
        raise Invalid(field, f"an ssh-rsa key has at least {_RSA_BITS} bits")
    return " ".join(filter(None, (kind, encoded, comment.strip())))


def _split(blob: bytes) -> list[bytes] | None:
    """The parts, each behind its length; None if they do not end where it ends."""
    parts, at = [], 0
    while at < len(blob):
        length = int.from_bytes(blob[at : at + 4])
        at += 4 + length
        if at > len(blob):
            return None
        parts.append(blob[at - length : at])
    return parts
