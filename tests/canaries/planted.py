"""Secrets that are known to the test, and the search for them in everything that a
process lets out."""

import base64
import re
import secrets
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

# Told apart from the fractions of seconds that every text is full of.
_CODE: Final = re.compile(r"\d{6}")


class Planted:
    """Each secret by a name that may be said."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._known)

    def new(self, name: str, *, prefix: str = "") -> str:
        """A secret that looks like none, but for its prefix."""
        return prefix + self.keep(name, secrets.token_hex(16))

    def keep(self, name: str, value: str) -> str:
        """One that somebody else has made."""
        assert len(value) >= 6, name
        assert name not in self._known, name
        self._known[name] = value
        return value

    def found_in(self, text: str) -> dict[str, str]:
        """The secrets that stand in the text, in whatever spelling, and around what."""
        found = {}
        for name, value in self._known.items():
            for spelt in _spellings(value):
                if at := re.search(spelt, text):
                    begin = max(0, at.start() - 80)
                    found[name] = text[begin : at.end() + 20]
        return found


def nowhere(planted: Planted, places: Mapping[str, str]) -> list[str]:
    """One line for each secret that stands where it must not."""
    return [
        f"{name} in {place}: ...{around}..."
        for place, text in places.items()
        for name, around in planted.found_in(text).items()
    ]


def _spellings(value: str) -> set[str]:
    if _CODE.fullmatch(value):
        return {rf"(?<![\w.:-]){value}(?![\w-])"}
    raw = value.encode()
    return {
        re.escape(one)
        for one in (
            value,
            quote(value, safe=""),
            raw.hex(),
            base64.b64encode(raw).decode().rstrip("=")[:-1],
        )
    }
