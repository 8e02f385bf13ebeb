"""An order is well-formed as soon as it is there."""

from collections.abc import Callable

import pytest
from email_validator import EmailNotValidError, validate_email

from models.errors import Invalid
from models.ordering import OrderRequest, email_address


@pytest.mark.parametrize("domain", ["example.com", "xn--bcher-kva.example"] * 2)
@pytest.mark.parametrize(
    "given",
    [
        "client@{}",
        "Client.Name+tag_1-x@{}",
        "client@shop.{}",
        ".client@{}",
        "client.@{}",
        "cli..ent@{}",
        "cli ent@{}",
        "client@",
        "client@-{}",
        "client@shop..{}",
        "client@{}.",
        "client@localhost",
        "client@shop.local",
        "client@shop.invalid",
        "client@shop.test",
        "client@127.0.0.1",
        "c'lient!#$@{}",
        "kl\u00e4nt@{}",
        "client@b\u00fccher.example",
        "\u212a@{}",
        "client@{}\n",
        f"{'c' * 64}@{{}}",
        f"{'c' * 65}@{{}}",
        f"client@{'d' * 64}.{{}}",
    ],
)
def test_a_quick_look_at_an_address_finds_what_a_close_one_does(
    given: str, domain: str
) -> None:
    address = given.format(domain)
    assert _outcome(_quickly, address) == _outcome(_closely, address)


def _quickly(address: str) -> str:
    return email_address(address, field="email")


def _closely(address: str) -> str:
    found = validate_email(address, check_deliverability=False, test_environment=True)
    return found.normalized.lower()


def _outcome(check: Callable[[str], str], address: str) -> str:
    try:
        return check(address)
    except (EmailNotValidError, Invalid) as wrong:
        return str(wrong)


def test_a_request_is_kept_and_read_again() -> None:
    request = OrderRequest.from_json(
        {
            "source": "shop",
            "email": "client@example.com",
            "lines": [{"code": "wp_growth", "type": None}],
            "stripe_customer_id": "cus_1",
            "stripe_payment_intent_id": None,
            "stripe_checkout_session_id": None,
            "domain": "example.com",
        }
    )
    again = OrderRequest.from_json(request.as_json())
    assert again == request
    # Kept keys are compared with those of every later release.
    assert request.body_hash == (
        "8dcc5a180368a0cb0f918d52e8444dbc95ef25844100df25c852cbae8239128f"
    )
