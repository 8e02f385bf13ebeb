"""What a worker is told wrongly, it refuses to start with."""

import pytest

from models.settings import SettingsRefused
from workers.settings import WorkerSettings

HOOK = "https://hooks.example.com/mpanel"


def refusals(**given: str) -> list[str]:
    """What is said of the operators' webhook."""
    with pytest.raises(SettingsRefused) as refused:  # much else is missing here
        WorkerSettings.from_environment(**given)
    return [one for one in str(refused.value).splitlines() if "OPERATOR_WEB" in one]


def test_a_webhook_that_anybody_could_sign_is_refused() -> None:
    [told] = refusals(operator_webhook_url=HOOK)
    assert told.startswith("MPANEL_OPERATOR_WEBHOOK_URL is wrong")
    assert "MPANEL_OPERATOR_WEBHOOK_SECRET" in told

    assert refusals(operator_webhook_url=HOOK, operator_webhook_secret="s" * 32) == []
    assert refusals() == []


def test_a_key_that_is_none_is_refused_before_the_first_message() -> None:
    for secret in ("whsec_abcde", "whsec_"):
        [told] = refusals(operator_webhook_url=HOOK, operator_webhook_secret=secret)
        assert "base64" in told
        assert "abcde" not in told

    good = "whsec_" + "A" * 32
    assert refusals(operator_webhook_url=HOOK, operator_webhook_secret=good) == []
