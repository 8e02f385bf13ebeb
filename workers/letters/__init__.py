"""Our letters: the words of each in `en.toml`, one layout for HTML and one for text.

A value that stands in a sentence is plain text until the layout escapes it, so what a
customer typed is never markup; a subject is one line, so it is never a header.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import (
    Environment,
    FileSystemLoader,
    StrictUndefined,
    Template,
    select_autoescape,
)

_HERE = Path(__file__).parent
_LANGUAGE = "en"

# Sentences become plain text; the layouts alone know what they are put into.
_sentences = Environment(undefined=StrictUndefined, autoescape=False)  # noqa: S701
_layouts = Environment(
    loader=FileSystemLoader(_HERE),
    undefined=StrictUndefined,
    autoescape=select_autoescape(("html",)),
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class Letter:
    """One mail: `text` and `html` say the same."""

    subject: str
    text: str
    html: str


def letter(template: str, facts: Mapping[str, Any]) -> Letter:
    """The letter of this name about these facts.

    Raises KeyError for a letter, and `jinja2.UndefinedError` for a fact, that is
    missing.
    """
    words = _words(_LANGUAGE)[template]
    said = {key: _said(value, facts) for key, value in words.items()}
    given = {
        "lines": facts.get(str(said.get("list")), ()),
        "groups": facts.get("groups", ()),
        "before": said.get("before", ()),
        "after": said.get("after", ()),
        "links": said.get("links", ()),
        "title": said["title"],
        "to_operator": said.get("to") == "operator",
    }
    return Letter(
        subject=" ".join(str(said["subject"]).split())[:200],
        text=_tidy(_layouts.get_template("layout.txt").render(given)),
        html=_layouts.get_template("layout.html").render(given),
    )


@cache
def _words(language: str) -> dict[str, dict[str, Any]]:
    return tomllib.loads((_HERE / f"{language}.toml").read_text())


def _tidy(text: str) -> str:
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _said(value: Any, facts: Mapping[str, Any]) -> Any:
    """The sentences with the facts in them; one that comes out empty is left out."""
    if isinstance(value, list):
        return [said for each in value if (said := _said(each, facts))]
    return _sentence(value).render(facts)


@cache
def _sentence(words: str) -> Template:
    """Only words of ours come here; making code of them costs more than the rest."""
    return _sentences.from_string(words)
