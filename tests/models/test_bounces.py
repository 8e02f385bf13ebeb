"""What comes to the return path may be written by anybody, and of any length."""

from uuid import uuid4

from models.bounces import bounce_of
from tests.models.cost import cost

REPORT = b"""To: bounces+%s@bounces.test
Content-Type: multipart/report; report-type=delivery-status; boundary=x

--x
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.test

Final-Recipient: rfc822; a@b.test
Action: failed
Diagnostic-Code: %s
Status: 5.1.1

--x--
"""


def test_a_long_word_costs_no_more_than_many_short_ones() -> None:
    """Any server may send a report, and everybody waits for whoever reads it."""

    def taken(words: bytes) -> float:
        def read() -> None:
            assert bounce_of(REPORT % (uuid4().hex.encode(), words)) is not None

        return cost(read)

    short = max(taken(b"a " * 25_000), 0.01)
    assert taken(b"a" * 50_000) < 20 * short
