"""Why a job waits, in words: from where its failure came to what it means and what to
do. The words stand in `causes.toml`; this finds the ones that fit.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final


class Suggestion(StrEnum):
    """Which act is right, as a rule."""

    RETRY = "retry"  # once the cause is gone
    CORRECT = "correct"  # something must be set right, then retry
    SKIP = "skip"
    ABORT_ITEM = "abort_item"
    ABORT_ORDER = "abort_order"
    WAIT = "wait"  # nothing to decide: it goes on by itself


@dataclass(frozen=True)
class Cause:
    """`id` is stable: people and programs group and filter by it."""

    id: str
    title: str
    means: str
    origin: str
    checks: tuple[str, ...]
    act: Suggestion
    advice: str


@dataclass(frozen=True)
class Signs:
    """What a job's row says of its failure; each may be missing."""

    reason: str = ""
    provider: str = ""
    error_class: str = ""
    code: str = ""
    undoing: bool = False


_UNDO: Final = "undo:"
# Of an undo, only the refund asks it.
_STRIPE: Final = "stripe"
_Key = tuple[str, str, str, str]


class Causes:
    """The table, read once."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.providers: Mapping[str, str] = content["providers"]
        self._also: Mapping[str, str] = content["also"]
        self._by_key: dict[_Key, Mapping[str, Any]] = {}
        for told in content["cause"]:
            about = [told.get(word, "") for word in ("reason", "provider", "class")]
            for code in told.get("codes", [""]):
                key = (about[0], about[1], about[2], code)
                if key in self._by_key:
                    raise ValueError(f"two causes for {key}")
                self._by_key[key] = told

    def of(self, signs: Signs) -> Cause:
        """The most special cause that fits; there always is one."""
        provider = self.known_as(signs.provider)
        told = next(
            self._by_key[key]
            for key in _from_special_to_general(replace(signs, provider=provider))
            if key in self._by_key
        )
        cause = _cause(told, provider, self.name_of(provider))
        if not signs.undoing:
            return cause
        return _unpaid(cause) if provider == _STRIPE else _while_undoing(cause)

    def name_of(self, provider: str) -> str:
        """As people call it."""
        provider = self.known_as(provider)
        return self.providers.get(provider, provider or "the provider")

    def known_as(self, provider: str) -> str:
        """The one word for a provider that has had two."""
        return self._also.get(provider, provider)

    def knows_code(self, provider: str, error_class: str, code: str) -> bool:
        """Whether the code is told apart from the others of its class."""
        names = (self.known_as(provider), "")
        return any(("", name, error_class, code) in self._by_key for name in names)


def _from_special_to_general(signs: Signs) -> Iterator[_Key]:
    reason, provider, kind, code = (
        signs.reason,
        signs.provider,
        signs.error_class,
        signs.code,
    )
    if kind:
        yield ("", provider, kind, code)
        yield ("", "", kind, code)
        yield ("", provider, kind, "")
    yield (reason, "", "", code)
    if kind:
        yield ("", "", kind, "")
    yield (reason, "", "", "")
    yield ("out_of_patience", "", "", "")


def _cause(told: Mapping[str, Any], provider: str, name: str) -> Cause:
    def worded(text: str) -> str:
        filled = text.replace("{provider}", name)
        return filled[:1].upper() + filled[1:]

    of_any = "class" in told and "provider" not in told
    return Cause(
        id=f"{provider}:{told['id']}" if of_any and provider else told["id"],
        title=worded(told["title"]),
        means=worded(told["means"]),
        origin=worded(told["origin"]),
        checks=tuple(worded(each) for each in told["checks"]),
        act=Suggestion(told["act"]),
        advice=worded(told["advice"]),
    )


def _while_undoing(cause: Cause) -> Cause:
    """An abort is decided and stands: what is left is to let the undo go on."""
    waits = cause.act is Suggestion.WAIT
    return replace(
        cause,
        id=_UNDO + cause.id,
        title=f"Undo stuck: {cause.title}",
        means=(
            "The job was aborted, and taking back what it had made cannot go on; the"
            f" money is given back only after that. {cause.means}"
        ),
        act=Suggestion.WAIT if waits else Suggestion.RETRY,
        advice=(
            cause.advice
            if waits
            else "Set right what is described here, then retry: the undo goes on where"
            " it stopped. It cannot be skipped, and it is aborted already."
        ),
    )


def _unpaid(cause: Cause) -> Cause:
    """All is taken back but the money: what is said of a refund holds here, too."""
    return replace(
        cause,
        id=_UNDO + cause.id,
        title=f"Refund stuck: {cause.title}",
        means=(
            "The order was aborted and everything of it is taken back; its money is not"
            f" given back yet. {cause.means}"
        ),
    )


CAUSES: Final = Causes(
    tomllib.loads(Path(__file__).with_name("causes.toml").read_text())
)
