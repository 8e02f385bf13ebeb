"""Nothing secret in a log, history, row or mail: known by its name or its look."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

HIDDEN: Final = "***"

_SECRETS = re.compile(
    r"(?i)(sk_(?:test|live)_|rk_(?:test|live)_|whsec_|\b[mp]k_|bearer\s+|basic\s+"
    r"|(?:password|passwd|secret|token|api[-_]?key|authorization)[\"']?\s*[=:]\s*[\"']?"
    r"(?:bearer\s+|basic\s+)?)[^\s\"'&,;]+"
)
# Whoever sends a text chooses it: each pattern looks at a letter few times. One that
# began anew within a long word would take minutes for it.
_SIGNED = re.compile(r"\beyJ[\w-]{8,4096}\.[\w-]+\.[\w-]*")
_USER_AT = re.compile(r"(?<=://)[^/\s@]+(?=@)")
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    re.DOTALL,
)
EMAIL: Final = re.compile(r"(?<![\w.+-])[\w.+-]++@[\w-]+\.[\w.-]+")
# Most texts hold none of these, and need no closer look.
_SUSPECT = re.compile(
    r"(?i)[srmp]k_|whsec_|bearer|basic|passw|secret|token|api[-_]?key|authoriz|@|eyj"
    r"|-----begin"
)
_NAMES = re.compile(
    r"(?i)passw|passphrase|secret|token|authorization|api[-_]?key|cookie|credential"
    r"|private|signature|totp|(?:^|_)(?:code|codes|otp|pin)$"
)
# No row holds a NUL, and half a character cannot be written.
_UNWRITABLE = re.compile(r"[\x00\ud800-\udfff]")
_LONGEST: Final = 500
_DEEPEST: Final = 6
# A shorter one would hide words that happen to be it.
_SHORTEST_SECRET: Final = 8


class _Known:
    """The secrets of this process: whoever repeats one, under no name at all."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()
        self.pattern: re.Pattern[str] | None = None

    def add(self, secrets: Iterable[str]) -> None:
        long = {one for one in secrets if len(one) >= _SHORTEST_SECRET}
        if long <= self._secrets:
            return
        self._secrets |= long
        # The longest first: one may begin with another.
        spelt = sorted(self._secrets, key=len, reverse=True)
        self.pattern = re.compile("|".join(map(re.escape, spelt)))


_known: Final = _Known()


def keep_out(secrets: Iterable[str]) -> None:
    """None of these is told from now on, wherever it stands."""
    _known.add(secrets)


def masked(text: str) -> str:
    """The text without credentials and e-mail addresses."""
    if _known.pattern is not None:
        text = _known.pattern.sub(HIDDEN, text)
    if not _SUSPECT.search(text):
        return text
    text = _PRIVATE_KEY.sub("<private key>", text)
    text = _SIGNED.sub("<token>", _USER_AT.sub(HIDDEN, text))
    return EMAIL.sub("<e-mail>", _SECRETS.sub(rf"\1{HIDDEN}", text))


def redacted(text: str) -> str:
    """The same on one line, at most 500 characters, as a row can hold them."""
    text = " ".join(_UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", masked(text)).split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "\u2026"


def cleaned(name: str, value: Any, *, depth: int = 0) -> Any:
    """The value as it may be logged under this name; what it is made of, too."""
    if value is None or isinstance(value, bool | int | float):
        return HIDDEN if value is not None and names_a_secret(name) else value
    if names_a_secret(name) or depth > _DEEPEST:
        return HIDDEN
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, Mapping):
        return {
            str(key): cleaned(str(key), each, depth=depth + 1)
            for key, each in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [cleaned(name, each, depth=depth + 1) for each in value]
    return masked(str(value))


@lru_cache(maxsize=1024)
def names_a_secret(name: str) -> bool:
    """Whether a field of this name is never shown, whatever it holds."""
    return _NAMES.search(name) is not None
