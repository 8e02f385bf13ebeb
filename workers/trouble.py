"""What a failed try means: try again and when, or park and why.

Transient trouble at a provider uses up the step's patience. Our own database or
Temporal being away never does. The back-off is drawn here, jittered, and told to
Temporal, so that what people read as `next_retry_at` is exactly what happens.
"""

import random
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.service import RPCError, RPCStatusCode

from activities.calls import NOWHERE, Origin
from activities.errors import (
    GiveUp,
    NotYet,
    ProviderConflict,
    ProviderDown,
    ProviderError,
    ProviderRejected,
    ProviderThrottled,
    redacted,
)
from models.errors import DomainError, NoCapacity
from models.states import ErrorClass, Reason
from workflows.queues import BACKUPS, HOSTING, NODE, POWERDNS, PROXMOX, STRIPE

_FIRST: Final = 0.5
LONGEST: Final = 60.0
_UNEXPECTED_TRIES: Final = 4
NOT_YET: Final = "not_yet"
_BEHIND: Final = {
    STRIPE: "stripe",
    HOSTING: "hosting",
    POWERDNS: "powerdns",
    BACKUPS: "backup_store",
    PROXMOX: "proxmox",
}
_TEMPORAL_AWAY: Final = frozenset(
    {
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.ABORTED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.INTERNAL,
        RPCStatusCode.UNKNOWN,
    }
)


@dataclass(frozen=True)
class Account:
    """What a step has used up so far, over all its tries.

    `spent`: seconds of trouble at a provider. `odd`: errors that nobody foresaw.
    """

    tries: int = 0
    spent: float = 0.0
    odd: int = 0


@dataclass(frozen=True)
class Verdict:
    """`delay` in seconds until the next try; None: `reason` parks the step."""

    delay: float | None
    reason: str
    message: str
    spent: float = 0.0
    odd: int = 0
    benign: bool = False
    origin: Origin = NOWHERE

    def error(self) -> ApplicationError:
        """As Temporal understands it."""
        return ApplicationError(
            self.message,
            self.origin,
            type=self.reason,
            non_retryable=self.delay is None,
            next_retry_delay=(
                None if self.delay is None else timedelta(seconds=self.delay)
            ),
            category=(
                ApplicationErrorCategory.BENIGN
                if self.benign
                else ApplicationErrorCategory.UNSPECIFIED
            ),
        )


def judge(
    error: Exception,
    *,
    account: Account,
    elapsed: float,
    patience: float,
    longest: float = LONGEST,
) -> Verdict:
    """The verdict on one failed try that took `elapsed` seconds.

    `longest`: the most seconds between two tries, unless a provider says otherwise.
    """
    match error:
        case NotYet():
            return Verdict(error.delay, NOT_YET, redacted(str(error)), benign=True)
        case GiveUp():
            told = Origin(code=error.code)
            return Verdict(None, error.reason, error.message, origin=told)
        case ProviderThrottled():
            delay = error.retry_after + random.uniform(0.05, 0.5)  # noqa: S311
            return _patient(error, delay, account, delay, patience)
        case ProviderDown():
            delay = backoff(account.tries, longest)
            return _patient(error, delay, account, elapsed + delay, patience)
        case ProviderConflict():
            return Verdict(None, Reason.CONFLICT, str(error), origin=_origin(error))
        case ProviderRejected():
            return Verdict(None, Reason.REJECTED, str(error), origin=_origin(error))
        case NoCapacity():
            told = Origin(code=str(error.details.get("of", "")))
            text = redacted(error.message)
            return Verdict(None, Reason.NO_CAPACITY, text, origin=told)
        case DomainError():
            return Verdict(None, Reason.INVALID, redacted(error.message))
    if _is_our_own(error):
        delay = random.uniform(0.2, 2.0)  # noqa: S311
        return Verdict(delay, "store_away", type(error).__name__, account.spent)
    message = redacted(f"{type(error).__name__}: {error}")
    odd = account.odd + 1
    if account.odd >= _UNEXPECTED_TRIES:
        told = Origin(code=type(error).__name__)
        return Verdict(None, Reason.UNEXPECTED, message, origin=told)
    delay = backoff(account.tries, longest)
    return Verdict(delay, Reason.UNEXPECTED, message, account.spent, odd)


def worn_out(account: Account, patience: float, queue: str) -> Verdict | None:
    """Tries that ended without an answer (time-out, dead worker) used up patience.

    Nobody said who was silent; the step's queue tells.
    """
    if account.spent <= patience:
        return None
    text = f"it did not end within its time, in {account.tries - 1} tries"
    origin = Origin(behind(queue), ErrorClass.DOWN, "no_answer")
    return Verdict(None, Reason.OUT_OF_PATIENCE, text, account.spent, origin=origin)


def behind(queue: str) -> str:
    """Which provider a queue leads to; none for our own."""
    return _BEHIND.get(PROXMOX if queue.startswith(NODE) else queue, "")


def backoff(tries: int, longest: float = LONGEST) -> float:
    """Seconds before the next try: doubling from 0.5 to `longest`, half of it drawn."""
    ceiling = min(longest, _FIRST * 2 ** min(tries, 10))
    return random.uniform(ceiling / 2, ceiling)  # noqa: S311


def _patient(
    error: ProviderError, delay: float, account: Account, cost: float, patience: float
) -> Verdict:
    message, origin = str(error), _origin(error)
    spent = account.spent + cost
    if spent > patience:
        text = f"{message} (given up after {account.tries} tries, {spent:.0f} s)"
        return Verdict(None, Reason.OUT_OF_PATIENCE, text, spent, origin=origin)
    return Verdict(delay, "provider_down", message, spent, origin=origin)


def _origin(error: ProviderError) -> Origin:
    return Origin(error.provider, error.error_class, error.code)


def _is_our_own(error: Exception) -> bool:
    """PostgreSQL or Temporal is away, or busy: no fault of the step's."""
    if isinstance(error, RPCError):
        return error.status in _TEMPORAL_AWAY
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return isinstance(
        error, OperationalError | InterfaceError | PoolTimeout | ConnectionError
    )
