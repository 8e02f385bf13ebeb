"""The letters: readable as text and as HTML, and no door for anybody's words."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jinja2 import UndefinedError

import workers.letters
from workers.letters import letter

WORDS = tomllib.loads((Path(workers.letters.__file__).parent / "en.toml").read_text())
TO_CUSTOMERS = [name for name, words in WORDS.items() if words.get("to") != "operator"]
NASTY = '<script>alert(1)</script>"\r\nBcc: all@example.com'


class AnyFacts(dict[str, Any]):
    """Every fact a letter may ask for, each as nasty as can be."""

    def __init__(self, word: str) -> None:
        named = [*re.findall(r"{{ (\w+) }}", str(WORDS)), "severity"]
        super().__init__(dict.fromkeys(named, word))
        line = {"name": word, "url": f"http://x.test/{word}"}
        self |= {"ordered": [line], "delivered": [line], "refunded": word}
        self["groups"] = [{"title": word, "count": 1, "lines": [line]}]


@pytest.mark.parametrize("name", WORDS)
def test_nobodys_words_become_markup_or_a_header(name: str) -> None:
    made = letter(name, AnyFacts(NASTY))

    assert not re.search(r"[\x00-\x1f]", made.subject)
    assert "<script" not in made.html
    assert made.html.count("<html") == 1
    assert re.search(r"(?m)^Bcc:", made.subject) is None


@pytest.mark.parametrize("name", WORDS)
def test_every_letter_says_the_same_as_text_and_as_html(name: str) -> None:
    made = letter(name, AnyFacts("ada"))

    plain = re.sub(r"(?s)<style>.*?</style>|<[^>]+>", " ", made.html)
    plain += " ".join(re.findall(r'href="([^"]+)"', made.html))
    words = set(re.findall(r"[a-z]{4,}", made.text.lower()))
    assert words <= set(re.findall(r"[a-z]{4,}", plain.lower()))
    assert "<" not in made.text
    assert len(made.text.splitlines()) > 3
    assert "\n\n\n" not in made.text


@pytest.mark.parametrize("name", TO_CUSTOMERS)
def test_customers_read_none_of_our_or_a_providers_words(name: str) -> None:
    made = letter(name, AnyFacts("ada"))

    assert made.text.endswith("Your MigraHosting team\n")
    for ours in ("mpanel", "job", "hosting:", "stripe", "/api/", "None", "provider"):
        assert ours not in made.text.replace("MigraHosting", "")


def test_a_refund_is_named_only_where_there_is_one() -> None:
    facts = AnyFacts("ada") | {"refunded": "54.98 USD"}
    assert "We have refunded 54.98 USD" in letter("order_failed", facts).text
    facts["refunded"] = ""
    assert "refunded" not in letter("order_failed", facts).text


def test_what_is_missing_is_an_error_and_no_gap() -> None:
    with pytest.raises(KeyError):
        letter("no-such-letter", {})
    with pytest.raises(UndefinedError):
        letter("welcome", {})
