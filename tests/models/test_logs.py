"""Every line is JSON, knows what it is about, and holds no secret."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from pydantic import SecretStr
from uvicorn.config import LOGGING_CONFIG, Config

from models.logs import LogSettings, about, configure
from models.redaction import masked, redacted
from models.settings import Settings
from tests.logged import Lines, logged
from tests.models.cost import cost

CANARY = "hunter2hunter2hunter2"
JWT = f"eyJhbGciOiJIUzI1NiJ9.{CANARY}.{CANARY}"
PEM = "-----{} OPENSSH PRIVATE KEY-----".format
KEY = f"{PEM('BEGIN')}\n{CANARY}\n{PEM('END')}"


@pytest.fixture
def lines() -> Iterator[Lines]:
    with logged() as found:
        yield found


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "new_password",
        "client_secret",
        "refresh_token",
        "Authorization",
        "api_key",
        "X-API-Key",
        "code",
        "one_time_code",
        "recovery_codes",
        "set-cookie",
        "private_key",
        "totp",
        "webhook_signature",
    ],
)
def test_a_field_with_the_name_of_a_secret_is_hidden(lines: Lines, name: str) -> None:
    log = structlog.get_logger()
    log.info("asked", **{name: CANARY})
    log.info("asked", body={"deep": [{name: CANARY}]})
    log.info("asked", **{name: [CANARY]})
    assert CANARY not in lines.text
    assert len(lines.all) == 3


@pytest.mark.parametrize(
    "value",
    [
        f"Bearer {CANARY}",
        f"Authorization: Basic {CANARY}",
        f"sk_live_{CANARY}",
        f"whsec_{CANARY}",
        f"mk_{CANARY}",
        f"password={CANARY}",
        f'{{"api_key": "{CANARY}"}}',
        f"postgresql://app:{CANARY}@db/mpanel",
        JWT,
        KEY,
        f"{CANARY}@example.com",
    ],
)
def test_a_value_that_looks_like_a_secret_is_masked(lines: Lines, value: str) -> None:
    log = structlog.get_logger()
    log.info("told", detail=value)
    log.info("told", detail={"args": (value,)})
    log.info(f"told {value}")
    logging.getLogger("some.library").warning("told %s", value)
    try:
        raise ValueError(value)
    except ValueError:
        log.exception("failed")
        logging.getLogger("some.library").exception("failed")
    assert CANARY not in lines.text
    assert len(lines.all) == 6


def test_what_is_no_secret_stays_as_it_is(lines: Lines) -> None:
    structlog.get_logger().info(
        "told", many=3, done=True, ratio=0.5, nobody=None, detail="the disk is full"
    )
    (line,) = lines.all
    assert {name: line[name] for name in ("many", "done", "ratio", "nobody")} == {
        "many": 3,
        "done": True,
        "ratio": 0.5,
        "nobody": None,
    }
    assert line["detail"] == "the disk is full"


def test_a_line_break_in_a_value_makes_no_second_line(lines: Lines) -> None:
    structlog.get_logger().info("told", detail='a\n{"event": "forged"}')
    assert [line["event"] for line in lines.all] == ["told"]


def test_libraries_log_the_same_way_and_only_what_matters(lines: Lines) -> None:
    about(job_id="j-1")
    logging.getLogger("temporalio.activity").info("Completing")
    logging.getLogger("uvicorn.error").info("Started")
    logging.getLogger("httpx").info("GET https://api.example.com/v1/customers/7")
    logging.getLogger("py.warnings").warning("old")

    told = [(line["logger"], line["level"], line["job_id"]) for line in lines.all]
    assert told == [
        ("temporalio.activity", "info", "j-1"),
        ("uvicorn.error", "info", "j-1"),
        ("py.warnings", "warning", "j-1"),
    ]


def test_a_set_up_that_a_library_made_for_itself_is_undone() -> None:
    Config("tests", log_config=LOGGING_CONFIG)
    with logged() as lines:
        logging.getLogger("uvicorn.error").info("Started")
        assert [line["logger"] for line in lines.all] == ["uvicorn.error"]


def test_an_error_tells_where_it_was_raised(lines: Lines) -> None:
    try:
        raise ValueError("odd")
    except ValueError:
        structlog.get_logger().exception("failed")
    (line,) = lines.all
    assert line["error"] == "ValueError: odd"
    assert "test_logs.py" in line["where"][-1]


def test_nothing_that_is_told_is_an_error_in_its_teller() -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with logged():
        configure(LogSettings(), out)
        structlog.configure(cache_logger_on_first_use=False)
        log = structlog.get_logger()
        log.warning("refused", error="half a \ud800 character", seen={(1, 2): 3})
        log.warning("went on")
    told = [json.loads(line) for line in out.buffer.getvalue().splitlines()]
    assert [line["event"] for line in told] == ["refused", "went on"]
    assert told[0]["seen"] == {"(1, 2)": 3}


def test_redacted_is_one_short_line() -> None:
    assert redacted("a\n b") == "a b"
    assert len(redacted("x" * 1000)) == 500
    assert masked("x" * 1000) == "x" * 1000


@pytest.mark.parametrize("word", ["a", "eyJaaaaaaaa-", "token ", "-----BEGIN "])
def test_a_long_word_is_looked_through_in_no_time(word: str) -> None:
    """A provider's answer may be of any length, and the loop waits for it."""

    def taken(text: str) -> float:
        return cost(lambda: redacted(text))

    short = max(taken("token a " * 5_000), 0.01)
    assert taken("token " + word * (40_000 // len(word))) < 30 * short


def test_a_secret_of_this_process_is_told_in_no_words(lines: Lines) -> None:
    """A provider repeats a key without saying that it is one."""
    account, relay, old = (
        "zone-account-9913",
        "p@ss-of-the-relay",
        "b2xkLWtleS1vZi0zMg==",
    )

    class Own(Settings):
        account: SecretStr
        relay: SecretStr
        vault: SecretStr

    Own(
        account=SecretStr(account),
        relay=SecretStr("smtp://panel:p%40ss-of-the-relay@mail.example.net:587"),
        vault=SecretStr(f"v1:{old},v2:bmV3LWtleS1vZi0zMg=="),
    )

    structlog.get_logger().info("said", text=f"no such account: {account} {relay}")
    assert redacted(f"{relay} {old}") == "*** ***"
    assert [line["text"] for line in lines.all] == ["no such account: *** ***"]
