"""The verdict on failed tries: how long a step endures, and what never wears it out."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as some
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from temporalio.service import RPCError, RPCStatusCode

from activities.errors import (
    GiveUp,
    NotYet,
    ProviderBlocked,
    ProviderConflict,
    ProviderDown,
    ProviderRejected,
    ProviderThrottled,
)
from models.causes import CAUSES
from models.errors import Conflict, NoCapacity
from models.states import Reason
from workers.trouble import Account, Verdict, backoff, judge, worn_out
from workflows.engine.patience import PATIENCE
from workflows.queues import PROVIDERS, node_queue

HOUR = 3600.0
DAY = PATIENCE.total_seconds()
DOWN = ProviderDown("hosting", "no answer", code="network")
OURS = (
    OperationalError("select", {}, Exception("the database is away")),
    PoolTimeout(),
    ConnectionRefusedError(),
    RPCError("away", RPCStatusCode.UNAVAILABLE, b""),
)


def tries(
    error: Exception, *, took: float, patience: float, longest: float = 60.0
) -> Iterator[tuple[float, Verdict]]:
    """(seconds since the first try, verdict) of each try until the step parks."""
    account, now = Account(), 0.0
    while True:
        now += took
        verdict = judge(
            error, account=account, elapsed=took, patience=patience, longest=longest
        )
        yield now, verdict
        if verdict.delay is None:
            return
        now += verdict.delay
        account = Account(account.tries + 1, verdict.spent, verdict.odd)


@given(took=some.floats(0.0, 60.0))
def test_an_hour_of_outage_parks_nothing(took: float) -> None:
    for now, verdict in tries(DOWN, took=took, patience=DAY):
        if now > HOUR:
            break
        assert verdict.delay is not None
        assert verdict.spent <= now + verdict.delay + 1e-6, "charged for what was not"


@given(took=some.floats(0.0, 60.0), patience=some.floats(1.0, DAY))
def test_patience_ends_when_it_is_used_up_and_not_before(
    took: float, patience: float
) -> None:
    seen = list(tries(DOWN, took=took, patience=patience))

    ended, last = seen[-1]
    assert last.reason == Reason.OUT_OF_PATIENCE
    assert patience - 60 <= ended <= patience + 60
    assert all(earlier.reason == "provider_down" for _, earlier in seen[:-1])


@given(tried=some.integers(0, 10_000), longest=some.floats(1.0, 600.0))
def test_waits_double_up_to_the_longest_and_half_of_each_is_drawn(
    tried: int, longest: float
) -> None:
    ceiling = min(longest, 0.5 * 2 ** min(tried, 12))

    assert ceiling / 2 <= backoff(tried, longest) <= ceiling


def test_two_waits_are_hardly_ever_the_same() -> None:
    assert len({backoff(9) for _ in range(100)}) > 90


@given(rest=some.floats(0.0, 7200.0), blocked=some.booleans())
def test_nobody_calls_before_the_retry_after_is_over(
    rest: float, blocked: bool
) -> None:
    kind = ProviderBlocked if blocked else ProviderThrottled
    error = kind("stripe", "slow down", retry_after=rest)

    verdict = judge(error, account=Account(50, 0.0), elapsed=0.1, patience=DAY)

    assert verdict.delay is not None
    assert rest < verdict.delay < rest + 1


@given(own=some.sampled_from(OURS), took=some.floats(0.0, 60.0))
def test_our_own_stores_being_away_never_wears_a_step_out(
    own: Exception, took: float
) -> None:
    for now, verdict in tries(own, took=took, patience=1.0):
        assert verdict.delay is not None
        assert verdict.delay <= 2.0
        assert verdict.spent == 0.0
        if now > HOUR:
            break


def test_our_own_stores_being_away_keeps_what_a_provider_has_used_up() -> None:
    verdict = judge(OURS[0], account=Account(3, 42.0), elapsed=9.0, patience=60.0)

    assert verdict.spent == 42.0


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ProviderRejected("stripe", "no"), Reason.REJECTED),
        (ProviderConflict("hosting", "taken"), Reason.CONFLICT),
        (NoCapacity("full"), Reason.NO_CAPACITY),
        (Conflict("not now"), Reason.INVALID),
        (GiveUp(Reason.PAYMENT_AMBIGUOUS, "two cents too much"), "payment_ambiguous"),
    ],
)
def test_what_trying_again_cannot_help_parks_at_once(
    error: Exception, reason: str
) -> None:
    verdict = judge(error, account=Account(), elapsed=0.1, patience=DAY)

    assert (verdict.delay, verdict.reason) == (None, reason)
    assert verdict.error().non_retryable


@pytest.mark.parametrize("error", [KeyError("x"), IntegrityError("", {}, Exception())])
def test_a_bug_is_tried_a_few_times_and_then_shown_to_a_person(
    error: Exception,
) -> None:
    seen = list(tries(error, took=0.1, patience=DAY))

    assert len(seen) == 5
    assert seen[-1][1].reason == Reason.UNEXPECTED


def test_waiting_for_something_is_no_trouble() -> None:
    for now, verdict in tries(
        NotYet("not paid yet", delay=600), took=0.1, patience=1.0
    ):
        assert (verdict.delay, verdict.benign, verdict.spent) == (600, True, 0.0)
        if now > HOUR:
            break


def test_a_password_in_an_error_ends_in_no_verdict() -> None:
    error = RuntimeError("connect failed: password=hunter2 for ada@example.com")

    verdict = judge(error, account=Account(), elapsed=0.1, patience=DAY)

    assert "hunter2" not in verdict.message
    assert "ada@" not in verdict.message


@pytest.mark.parametrize("queue", [*PROVIDERS, node_queue("pve1")])
def test_a_step_that_never_ends_names_the_provider_behind_its_queue(queue: str) -> None:
    worn = worn_out(Account(tries=3, spent=DAY + 1), DAY, queue)

    assert worn is not None
    assert worn.origin.provider in CAUSES.providers
